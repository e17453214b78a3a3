//! A job in a folder of its own, run in this process or as a child process.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use braid_tests::delta::{Table, files, read};
use jobs::runtime::{Plan, RunError, RunOptions, Silent, Summary, plan, run};
use tempfile::TempDir;

/// A file of the repository's test data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The text of a gzipped file of the test data.
pub(crate) fn unpacked(name: &str) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(data(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// A job file with the files around it, gone when dropped.
pub(crate) struct Job {
    folder: TempDir,
}

impl Job {
    /// A job of this text in a new folder. It must have `out = "out"`.
    pub(crate) fn new(text: &str) -> Self {
        // In memory where there is such a folder: thousands of epochs are thousands of syncs.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let job = Self { folder: folder.unwrap() };
        job.write("job.toml", text);
        job
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file beside the job file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Where the results are.
    pub(crate) fn out(&self) -> PathBuf {
        self.folder().join("out")
    }

    /// The checked job.
    pub(crate) fn plan(&self) -> Plan {
        plan::load(&self.folder().join("job.toml")).unwrap_or_else(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("the job is good, and yet:\n{}", lines.join("\n"))
        })
    }

    /// Runs it in this process to its end.
    pub(crate) fn run(&self, workers: usize, epoch_records: usize) -> Summary {
        self.try_run(workers, epoch_records).unwrap_or_else(|error| panic!("it runs: {error}"))
    }

    /// Runs it in this process.
    pub(crate) fn try_run(&self, workers: usize, epoch: usize) -> Result<Summary, RunError> {
        run(&self.plan(), RunOptions { workers, epoch_records: Some(epoch) }, &Silent)
    }

    /// The command on this job, not started.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_braid-tested"));
        command.arg(verb).arg(self.folder().join("job.toml")).stdin(Stdio::null());
        command
    }

    /// Runs it as a process to its end.
    pub(crate) fn execute(&self, more: &[&str]) -> Output {
        self.command("run").args(more).output().unwrap()
    }

    /// Starts it as a process.
    pub(crate) fn start(&self, more: &[&str]) -> Child {
        let mut command = self.command("run");
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The current rows of a view.
    pub(crate) fn table(&self, view: &str) -> Table {
        read(&self.out().join(view))
    }

    /// Every change of a view.
    pub(crate) fn changelog(&self, view: &str) -> Table {
        read(&self.out().join("changelog").join(view))
    }

    /// Names and bytes of the files that hold the current rows of some views.
    pub(crate) fn current(&self, views: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for view in views {
            for (name, bytes) in files(&self.out().join(view)) {
                all.insert(format!("{view}/{name}"), bytes);
            }
        }
        all
    }
}
