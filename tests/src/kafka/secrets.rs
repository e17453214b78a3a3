//! Certificates, users and tokens for a broker with TLS.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::unique;
use crate::http;

/// A certificate authority, a certificate for one address, the user `alice`, and the key that signs
/// her tokens.
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
        secrets.openssl(&["genrsa"], &["-out", "tokens.key", "2048"]);
        std::fs::write(secrets.keys(), secrets.key_set().to_string()).unwrap();
        secrets
    }

    fn openssl(&self, verb: &[&str], arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.current_dir(&self.folder).args(verb).args(arguments);
        let remedy = "the TLS tests need openssl: apt-get install -y openssl";
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}\n{remedy}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} failed:\n{said}\n{remedy}");
        output.stdout
    }

    /// The public half of the key that signs tokens, as RFC 7517 has it.
    fn key_set(&self) -> Value {
        let said = self.openssl(&["rsa"], &["-in", "tokens.key", "-noout", "-modulus"]);
        let said = String::from_utf8_lossy(&said);
        let digits = said.trim().strip_prefix("Modulus=").expect("a modulus");
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let modulus: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let (n, e) = (BASE64.encode(modulus), "AQAB");
        let key = json!({
            "kty": "RSA", "kid": "tests", "use": "sig", "alg": "RS256", "n": n, "e": e,
        });
        json!({"keys": [key]})
    }

    fn keys(&self) -> PathBuf {
        self.folder.join("keys.json")
    }

    /// A token of the user for the broker, valid for so many seconds (RFC 7519, signed by RS256).
    fn token(&self, seconds: u64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let part = |value: Value| BASE64.encode(value.to_string());
        let head = part(json!({"alg": "RS256", "typ": "JWT", "kid": "tests"}));
        let body = part(json!({
            "iss": "tests", "aud": "kafka", "sub": Self::USER, "iat": now, "exp": now + seconds,
        }));
        let signed = format!("{head}.{body}");
        let file = format!("token-{}", unique("t"));
        std::fs::write(self.folder.join(&file), &signed).unwrap();
        let signature = self.openssl(&["dgst", "-sha256", "-sign", "tokens.key"], &[&file]);
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// Starts an issuer of tokens, valid for so many seconds, for clients that know the user's
    /// password (RFC 6749, 4.4); says where, and counts those that it has given.
    pub fn issuer(&self, seconds: u64) -> (String, Arc<AtomicU32>) {
        let (secrets, given) = (Self { folder: self.folder.clone() }, Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&given);
        let pair = format!("{}:{}", Self::USER, Self::PASSWORD);
        let known = format!("Basic {}", STANDARD.encode(pair));
        let address = http::serve(move |request| {
            if request.authorization != known {
                return (401, json!({"error": "invalid_client"}));
            }
            count.fetch_add(1, Ordering::Relaxed);
            let token = secrets.token(seconds);
            (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds}))
        });
        (format!("http://{address}/token"), given)
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
        let bearer = "listener.name.sasl_ssl.oauthbearer";
        format!(
            "ssl.keystore.type=PKCS12\nssl.keystore.location={}\n\
             ssl.keystore.password=secret\nssl.key.password=secret\n\
             listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule \
             required user_{user}=\"{password}\";\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={modules}.scram.\
             ScramLoginModule required;\n\
             {bearer}.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required;\n\
             {bearer}.sasl.server.callback.handler.class={modules}.oauthbearer.\
             OAuthBearerValidatorCallbackHandler\n\
             sasl.oauthbearer.jwks.endpoint.url=file://{}\n\
             sasl.oauthbearer.expected.audience=kafka\n",
            store.display(),
            self.keys().display()
        )
    }

    /// What the broker's Java must allow.
    pub(super) fn allowed(&self) -> String {
        let keys = self.keys();
        format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{}", keys.display())
    }
}
