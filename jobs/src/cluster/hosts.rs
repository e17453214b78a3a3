//! Where each process listens.

use std::path::Path;

/// The port of process 0 where there is no hostfile; those of the others follow.
const FIRST_PORT: usize = 2101;

/// The addresses of all processes: the first lines of a hostfile, or ports of this machine.
///
/// # Errors
/// The hostfile can't be read, has too few lines, or one that is no address.
pub fn addresses(hostfile: Option<&Path>, processes: usize) -> Result<Vec<String>, String> {
    let Some(path) = hostfile else {
        return Ok((0..processes).map(|p| format!("localhost:{}", FIRST_PORT + p)).collect());
    };
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("{file}: can't read it: {e}; write the path of a hostfile"))?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut list: Vec<String> = Vec::new();
    for (at, line) in lines.take(processes) {
        let port = line.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(format!("{file}:{at}: {line:?} is no address; write host:port"));
        }
        if list.iter().any(|other| other == line) {
            return Err(format!("{file}:{at}: {line} is there twice; give each process its own"));
        }
        list.push(line.to_owned());
    }
    if list.len() < processes {
        let count = list.len();
        return Err(format!(
            "{file} has {count} addresses, and -n is {processes}; write a line host:port for each"
        ));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            addresses(Some(&path), 2)
        };
        assert_eq!(read("# all\na:1\n\n [::1]:2 \nc:3\n").unwrap(), ["a:1", "[::1]:2"]);
        for (text, word) in [
            ("a:1\n", "has 1 addresses"),
            ("a:1\nb\n", "hosts:2: \"b\" is no address"),
            ("a:1\n:2\n", "is no address"),
            ("a:1\na:1\n", "twice"),
        ] {
            let words = read(text).unwrap_err();
            assert!(words.contains(word), "{words}");
        }
        assert_eq!(addresses(None, 2).unwrap(), ["localhost:2101", "localhost:2102"]);
    }
}
