//! Certificates for processes, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate authority and what it signs.
pub struct Certificates {
    folder: PathBuf,
    name: String,
}

impl Certificates {
    /// A new authority; its files go to a folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        let new = Self { folder: folder.into(), name: name.to_owned() };
        let (key, ca) = (format!("{name}.key"), format!("{name}.pem"));
        new.openssl(&[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=ca",
            "-keyout", &key, "-out", &ca,
        ]);
        new
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.folder).output();
        let output = output.expect("the TLS tests need openssl: apt-get install -y openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The arguments of a process at the host: its certificate is made.
    pub fn arguments(&self, process: &str, host: &str) -> Vec<String> {
        let file = |end: &str| format!("{}-{process}.{end}", self.name);
        std::fs::write(self.folder.join(file("ext")), format!("subjectAltName=IP:{host}\n"))
            .unwrap();
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=braid",
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ]);
        let (ca, ca_key) = (format!("{}.pem", self.name), format!("{}.key", self.name));
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            &file("ext"),
            "-out",
            &file("pem"),
        ]);
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let all = ["--tls-ca", &path(&ca), "--tls-cert", &path(&file("pem")), "--tls-key"];
        let mut all: Vec<String> = all.map(ToOwned::to_owned).into();
        all.push(path(&file("key")));
        all
    }
}
