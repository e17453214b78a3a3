//! A store over memory: what is written is read, whatever its size; what is wrong is said.

use std::io::Read as _;

use object_store::memory::InMemory;

use super::*;

fn store(prefix: &str) -> Store {
    Store::over(Arc::new(InMemory::new()), Path::from(prefix), "s3://b/p/").unwrap()
}

/// Bytes that are different in each part.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at / 7 + at / PART_BYTES) as u8).collect()
}

#[test]
fn objects_of_any_size_are_read_as_they_were_written() {
    let store = store("a/b");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part");
    for count in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 5] {
        std::fs::write(&file, bytes(count)).unwrap();
        store.put_file("g1/x", &file).unwrap();
        let mut reader = store.read("g1/x").unwrap();
        assert_eq!(reader.length(), count as u64);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes(count), "{count} bytes");
        assert!(store.get("g1/x").unwrap() == Some(read));
    }
}

#[test]
fn folders_and_what_is_in_them() {
    let store = store("a");
    assert!(store.folders().unwrap().is_empty());
    for name in ["g2/b", "g2/a", "g1/c", "stray", "g10/x/y"] {
        store.put(name, name.as_bytes()).unwrap();
    }
    assert_eq!(store.folders().unwrap(), ["g1", "g10", "g2"]);
    assert_eq!(store.list("g2").unwrap(), ["a", "b"]);
    assert!(store.has("g1/c").unwrap() && !store.has("g1/d").unwrap());
    store.copy(&[("g1/c".to_owned(), "g3/d".to_owned())]).unwrap();
    assert_eq!(store.get("g3/d").unwrap().as_deref(), Some(&b"g1/c"[..]));
    store.remove(&["g3/d".to_owned(), "g3/never".to_owned()]).unwrap();
    assert_eq!(store.folders().unwrap(), ["g1", "g10", "g2"]);
}

#[test]
fn a_new_object_takes_nobodys_place() {
    let store = store("");
    assert!(store.put_new("claim", b"one").unwrap());
    assert!(!store.put_new("claim", b"two").unwrap());
    assert_eq!(store.get("claim").unwrap().as_deref(), Some(&b"one"[..]));
}

#[test]
fn what_is_not_there_is_said() {
    let store = store("a");
    assert_eq!(store.get("x").unwrap(), None);
    let error = store.read("x").unwrap_err();
    assert_eq!(error.to_string(), "s3://b/p/x is not there");
    assert!(!error.is_passing() && !error.is_usage());
    let error = store.put_file("x", FilePath::new("/no/such")).unwrap_err();
    assert!(error.to_string().starts_with("can't read /no/such: "), "{error}");
}

#[test]
fn a_place_that_makes_no_sense_is_refused() {
    let spec = |url: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        StoreSpec::new(url, options)
    };
    let region = ("aws_region", "eu-west-1");
    assert!(spec("s3://bucket/some/prefix", &[region]).check().is_ok());
    for (url, options, part) in [
        ("bucket", vec![], "relative URL without a base; write s3://bucket/prefix"),
        ("ftp://host/x", vec![], "it names no object store; write s3://bucket/prefix"),
        ("s3://bucket", vec![("aws_regoin", "x")], "there is no option \"aws_regoin\"; write"),
        ("s3://bucket", vec![region, ("timeout", "soon")], "soon"),
    ] {
        let error = spec(url, &options).check().unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.is_usage());
    }
    let shown = format!("{:?}", spec("s3://b", &[("aws_secret_access_key", "hush")]));
    assert!(shown.contains("aws_secret_access_key") && !shown.contains("hush"), "{shown}");
}
