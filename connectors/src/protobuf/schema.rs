//! `.proto` files, compiled.

use std::collections::HashMap;
use std::path::Path;

use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};
use protox::{Compiler, Error};

use super::confluent;

/// The name of a schema that has no file.
const NAMELESS: &str = "schema.proto";

/// The messages of a `.proto` file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Messages(FileDescriptor);

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message(pub(super) MessageDescriptor);

/// Files by the names under which they are imported.
struct Texts(HashMap<String, String>);

impl Texts {
    fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = confluent::FILES.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Self(known.into_iter().chain(files).collect())
    }
}

impl Message {
    /// What says which fields it has: its file and those that are imported, compiled. What means
    /// the same has the same bytes, whatever its layout and comments.
    pub fn definition(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for file in self.0.parent_pool().file_descriptor_protos() {
            let meaning = FileDescriptorProto { source_code_info: None, ..file.clone() };
            bytes.extend(meaning.encode_length_delimited_to_vec());
        }
        bytes
    }
}

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let text = self.0.get(name).ok_or_else(|| Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

impl Messages {
    /// Those of a text, with the names and texts of the files that it imports.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, imports: &[(String, String)]) -> Result<Self, String> {
        let main = (NAMELESS.to_owned(), text.to_owned());
        let mut files = ChainFileResolver::new();
        files.add(Texts::new(imports.iter().cloned().chain([main])));
        Self::compile(files, NAMELESS)
    }

    /// Those of a file, which imports files relative to its folder.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Compilers say little of a file that can't be read.
        std::fs::read_to_string(path).map_err(|e| format!("can't read {name:?}: {e}"))?;
        let mut files = ChainFileResolver::new();
        files.add(IncludeFileResolver::new(path.parent().unwrap_or(Path::new("")).into()));
        files.add(Texts::new([]));
        Self::compile(files, name)
    }

    fn compile(mut files: ChainFileResolver, name: &str) -> Result<Self, String> {
        files.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(files);
        let said = |error: &Error| format!("{error:?}").replace('\n', " ");
        compiler.include_imports(true).open_file(name).map_err(|error| said(&error))?;
        let file = compiler.descriptor_pool().get_file_by_name(name);
        file.map(Self).ok_or_else(|| format!("{name:?} is not among what it compiles to"))
    }

    /// The message of a name, with or without its package.
    ///
    /// # Errors
    /// That there is none, and which there are.
    pub fn named(&self, name: &str) -> Result<Message, String> {
        let package = self.0.package_name();
        let pool = self.0.parent_pool();
        let found = pool.get_message_by_name(name);
        let found = found.or_else(|| pool.get_message_by_name(&format!("{package}.{name}")));
        found.map(Message).ok_or_else(|| format!("no message {name:?}; it has {}", self.names()))
    }

    /// The only message that is in no other one.
    ///
    /// # Errors
    /// That it is not the only one, or that there is none.
    pub fn only(&self) -> Result<Message, String> {
        let mut all = self.0.messages();
        match (all.next(), all.next()) {
            (Some(message), None) => Ok(Message(message)),
            (None, _) => Err("it has no message".to_owned()),
            _ => Err(format!("it has several messages, {}", self.names())),
        }
    }

    fn names(&self) -> String {
        let names = self.0.messages().map(|message| message.full_name().to_owned());
        names.collect::<Vec<_>>().join(", ")
    }

    /// The message at a path of places: in the file, in that message, and so on. What stands for
    /// the entries of a map is no message.
    pub fn at(&self, path: &[usize]) -> Option<Message> {
        let (first, inner) = path.split_first()?;
        let first = self.0.messages().nth(*first)?;
        let below = |message: MessageDescriptor, place: &usize| {
            message.child_messages().filter(|child| !child.is_map_entry()).nth(*place)
        };
        inner.iter().try_fold(first, below).map(Message)
    }
}
