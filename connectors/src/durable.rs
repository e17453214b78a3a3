//! Files that are there as a whole or not at all, whatever happens while they are written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// What a file is called until it is whole.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    PathBuf::from(name)
}

/// Whether a file is still being written, or was when its process ended.
pub fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

/// Makes the name of a file durable, which it is when its folder is.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        None => Ok(()),
        Some(here) if here.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
    }
}

/// Makes a folder, and those above it that are not there, and their names durable.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), create_folder)?;
    match fs::create_dir(path) {
        // Somebody else may have been first.
        Err(_) if path.is_dir() => {}
        made => made?,
    }
    sync_folder(path)
}

/// What a folder is called while it is removed.
fn going(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".going");
    PathBuf::from(name)
}

/// Removes a folder as a whole or not at all; nothing if it is not there.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    finish_removal(path)?;
    match fs::rename(path, going(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    sync_folder(path)?;
    finish_removal(path)
}

/// Removes what a crash has left of a folder that was being removed.
pub fn finish_removal(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(going(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Gives a file that was written and synced under its [`unfinished`] name the name that it is to
/// have.
pub fn finish(path: &Path) -> io::Result<()> {
    fs::rename(unfinished(path), path)?;
    sync_folder(path)
}

/// Writes a file. With `private` only its owner may read it.
pub fn write(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(unfinished(path))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    finish(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write(&path, b"one", false).unwrap();
        // What an earlier process has left of it is in nobody's way.
        fs::write(unfinished(&path), b"half of another").unwrap();
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(is_unfinished(&unfinished(&path)) && !is_unfinished(&path));
        assert!(!unfinished(&path).exists());
    }

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        assert!(path.is_dir());
        fs::write(path.join("file"), b"").unwrap();
        assert!(create_folder(&path.join("file")).is_err());
        assert!(create_folder(&path.join("file/d")).is_err());
    }

    #[test]
    fn a_folder_goes_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        remove_folder(&path).unwrap();
        // What an earlier process has left of one that went is in nobody's way.
        create_folder(&going(&path).join("half")).unwrap();
        create_folder(&path.join("b")).unwrap();
        remove_folder(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        create_folder(&going(&path).join("half")).unwrap();
        finish_removal(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(&path, b"").unwrap();
        fs::write(going(&path), b"").unwrap();
        assert!(remove_folder(&path).is_err(), "no folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"secret", true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }
}
