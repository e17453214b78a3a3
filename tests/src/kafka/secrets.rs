//! Certificates and users for a broker with TLS and passwords.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::jars::run;

/// A certificate authority, a certificate for one address, and the user `alice`.
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// The user of the secured listener.
    pub const USER: &'static str = "alice";
    /// Her password.
    pub const PASSWORD: &'static str = "alice-secret";

    pub(super) fn new(folder: &Path, address: Ipv4Addr) -> Self {
        let secrets = Self { folder: folder.join("secrets") };
        std::fs::create_dir_all(&secrets.folder).unwrap();
        let names = format!("subjectAltName=IP:{address}\n");
        std::fs::write(secrets.folder.join("server.ext"), names).unwrap();
        let rsa = ["-newkey", "rsa:2048", "-nodes"];
        let new = |extra: &[&str]| secrets.openssl(&["req"], &[&rsa, extra].concat());
        new(&["-x509", "-days", "30", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"]);
        new(&["-subj", "/CN=broker", "-keyout", "server.key", "-out", "server.csr"]);
        let sign = ["-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
        let out =
            ["-CAcreateserial", "-days", "30", "-extfile", "server.ext", "-out", "server.pem"];
        secrets.openssl(&["x509"], &[sign.as_slice(), &out].concat());
        let pack = ["-export", "-in", "server.pem", "-inkey", "server.key", "-certfile", "ca.pem"];
        let out = ["-name", "server", "-out", "server.p12", "-passout", "pass:secret"];
        secrets.openssl(&["pkcs12"], &[pack.as_slice(), &out].concat());
        secrets
    }

    fn openssl(&self, verb: &[&str], arguments: &[&str]) {
        let mut command = Command::new("openssl");
        command.current_dir(&self.folder).args(verb).args(arguments);
        run(&mut command, "the TLS tests need openssl: apt-get install -y openssl");
    }

    /// The certificate that clients must trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Lines for `server.properties`.
    pub(super) fn settings(&self) -> String {
        let (user, password) = (Self::USER, Self::PASSWORD);
        let store = self.folder.join("server.p12");
        let modules = "org.apache.kafka.common.security";
        format!(
            "ssl.keystore.type=PKCS12\nssl.keystore.location={}\n\
             ssl.keystore.password=secret\nssl.key.password=secret\n\
             listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule \
             required user_{user}=\"{password}\";\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={modules}.scram.\
             ScramLoginModule required;\n",
            store.display()
        )
    }
}
