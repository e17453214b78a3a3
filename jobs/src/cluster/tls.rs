//! TLS between processes: both show a certificate, both check it.
//!
//! Timely reads and writes a connection from two threads and needs a socket to clone; a TLS
//! connection is one thing. So two threads pump between it and a pair of local sockets, one of
//! which stands for the connection from then on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use super::wire::Wire;

/// Bytes that are pumped at once: a few records of TLS.
const PUMP_BYTES: usize = 64 << 10;

/// The files, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Who signs the certificates of all processes.
    pub ca: PathBuf,
    /// The certificate of this process, for the host by which the hostfile names it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is needed to call and to be called.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(files: &TlsFiles) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for ca in certificates(&files.ca)? {
            roots.add(ca).map_err(|e| format!("{}: {e}", files.ca.display()))?;
        }
        let (roots, chain) = (Arc::new(roots), certificates(&files.cert)?);
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|e| format!("{} has no private key in PEM: {e}", files.key.display()))?;
        let (provider, wrong) = (Arc::new(default_provider()), |e: rustls::Error| {
            format!("{} and {}: {e}", files.cert.display(), files.key.display())
        });
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider.clone())
                .build()
                .map_err(|e| format!("{}: {e}", files.ca.display()))?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(wrong)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(wrong)?;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e| format!("{} has no certificate in PEM: {e}", path.display());
    let list: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(wrong)?;
    if list.is_empty() {
        return Err(format!("{} has no certificate in PEM", path.display()));
    }
    Ok(list)
}

/// A connection on which the first words are said.
pub(super) enum Open {
    Plain(TcpStream),
    Tls(Box<Connection>, TcpStream),
}

impl Open {
    /// Calls: `host` is what the other's certificate must be for.
    pub(super) fn call(tcp: TcpStream, tls: Option<&Tls>, host: &str) -> io::Result<Self> {
        let Some(tls) = tls else { return Ok(Self::Plain(tcp)) };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        let connection = ClientConnection::new(Arc::clone(&tls.client), name);
        Self::shake(connection.map_err(io::Error::other)?.into(), tcp)
    }

    /// Was called.
    pub(super) fn answer(tcp: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let Some(tls) = tls else { return Ok(Self::Plain(tcp)) };
        let connection = ServerConnection::new(Arc::clone(&tls.server));
        Self::shake(connection.map_err(io::Error::other)?.into(), tcp)
    }

    fn shake(mut connection: Connection, mut tcp: TcpStream) -> io::Result<Self> {
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Self::Tls(Box::new(connection), tcp))
    }

    /// The first words are said.
    pub(super) fn into_wire(self) -> io::Result<Wire> {
        match self {
            Self::Plain(tcp) => {
                tcp.set_read_timeout(None)?;
                tcp.set_write_timeout(None)?;
                Ok(Wire::Tcp(tcp))
            }
            Self::Tls(connection, tcp) => {
                tcp.set_read_timeout(None)?;
                tcp.set_write_timeout(None)?;
                let (near, far) = UnixStream::pair()?;
                let connection = Arc::new(Mutex::new(*connection));
                let (inner, outer) = (far.try_clone()?, tcp.try_clone()?);
                let shared = Arc::clone(&connection);
                // When one side ends, or breaks, the other is told so by the end of what it reads.
                thread::Builder::new().name("tls-in".to_owned()).spawn(move || {
                    let _ = pump_in(&shared, tcp, &inner);
                    let _ = inner.shutdown(Shutdown::Write);
                })?;
                thread::Builder::new().name("tls-out".to_owned()).spawn(move || {
                    let _ = pump_out(&connection, far, &outer);
                    let _ = outer.shutdown(Shutdown::Write);
                })?;
                Ok(Wire::Local(near))
            }
        }
    }
}

/// What TLS has against the other side, if `error` says so.
pub(super) fn objection(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match inner {
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS and this process does; give both [cluster.tls], or neither"
                .to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it refuses this process's certificate ({alert:?}); one `ca` must sign all")
        }
        rustls::Error::NoCertificatesPresented => {
            "it shows no certificate; give it [cluster.tls] with `cert` and `key`".to_owned()
        }
        other => format!("its certificate is refused: {other}; see `ca` and its `cert`"),
    })
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (connection, tcp) = match self {
            Self::Plain(tcp) => return tcp.read(buffer),
            Self::Tls(connection, tcp) => (connection, tcp),
        };
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.complete_io(tcp)?;
                }
                other => return other,
            }
        }
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (connection, tcp) = match self {
            Self::Plain(tcp) => return tcp.write(bytes),
            Self::Tls(connection, tcp) => (connection, tcp),
        };
        connection.writer().write_all(bytes)?;
        while connection.wants_write() {
            connection.write_tls(tcp)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From the network to the local socket. What the connection wants to say about that (it hardly
/// ever does) goes out with the next bytes of the other pump.
fn pump_in(
    connection: &Mutex<Connection>,
    mut tcp: TcpStream,
    mut local: &UnixStream,
) -> io::Result<()> {
    let mut bytes = vec![0; PUMP_BYTES];
    let (mut plain, mut read) = (Vec::new(), 0);
    loop {
        let ended = {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let mut rest = &bytes[..read];
            while !rest.is_empty() {
                connection.read_tls(&mut rest)?;
                connection.process_new_packets().map_err(io::Error::other)?;
                drain(&mut connection, &mut plain)?;
            }
            drain(&mut connection, &mut plain)?
        };
        local.write_all(&plain)?;
        plain.clear();
        if ended {
            return Ok(());
        }
        read = tcp.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
    }
}

/// Takes what has been decrypted; says whether the other has said that nothing follows.
fn drain(connection: &mut Connection, plain: &mut Vec<u8>) -> io::Result<bool> {
    match connection.reader().read_to_end(plain) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// From the local socket to the network.
fn pump_out(
    connection: &Mutex<Connection>,
    mut local: UnixStream,
    mut tcp: &TcpStream,
) -> io::Result<()> {
    let mut bytes = vec![0; PUMP_BYTES];
    let mut sealed = Vec::new();
    loop {
        let read = local.read(&mut bytes)?;
        {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            if read == 0 {
                connection.send_close_notify();
            } else {
                connection.writer().write_all(&bytes[..read])?;
            }
            while connection.wants_write() {
                connection.write_tls(&mut sealed)?;
            }
        }
        tcp.write_all(&sealed)?;
        sealed.clear();
        if read == 0 {
            return Ok(());
        }
    }
}
