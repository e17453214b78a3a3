//! One broker process.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::jars::{class_path, fixtures, run};
use super::{PATIENCE, Secrets};

/// The listener for clients of node 1; the controller's is one above, a node's pair 10 above the
/// one before. Below the ports that systems hand out, so nobody takes it while the node is down.
const PORT: u16 = 19_092;
/// How far above its first listener a node listens with TLS and passwords.
const SECURE: u16 = 2;

/// A broker process and where it lies.
pub(super) struct Node {
    number: usize,
    address: Ipv4Addr,
    folder: PathBuf,
    /// Arguments of Java beside those that all have.
    java: Option<String>,
    child: Option<Child>,
}

/// What all nodes of a cluster have in common.
pub(super) struct Shape<'a> {
    pub nodes: usize,
    pub cluster_id: &'a str,
    pub secrets: Option<&'a Secrets>,
}

impl Node {
    /// Writes the files of a node. It does not run yet.
    pub(super) fn new(number: usize, address: Ipv4Addr, folder: &Path, shape: &Shape) -> Self {
        let folder = folder.join(format!("node{number}"));
        let data = folder.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let meta = format!("version=1\ncluster.id={}\nnode.id={number}\n", shape.cluster_id);
        std::fs::write(data.join("meta.properties"), meta).unwrap();
        let checkpoint = match shape.secrets {
            Some(_) => "bootstrap-4.3.1-scram.checkpoint",
            None => "bootstrap-4.3.1.checkpoint",
        };
        std::fs::copy(fixtures().join(checkpoint), data.join("bootstrap.checkpoint")).unwrap();
        let java = shape.secrets.map(Secrets::allowed);
        let node = Self { number, address, folder, java, child: None };
        std::fs::write(node.folder.join("server.properties"), node.settings(shape)).unwrap();
        node
    }

    fn settings(&self, shape: &Shape) -> String {
        let first = |number: usize| PORT + 10 * (number as u16 - 1);
        let voters = (1..=shape.nodes).map(|n| format!("{n}@{}:{}", self.address, first(n) + 1));
        let plain = format!("PLAINTEXT://{}:{}", self.address, first(self.number));
        let controller = format!("CONTROLLER://{}:{}", self.address, first(self.number) + 1);
        let (mut listeners, mut advertised) = (format!("{plain},{controller}"), plain);
        let mut more = String::new();
        if let Some(secrets) = shape.secrets {
            let secure = format!(",SASL_SSL://{}", self.secure_address());
            listeners += &secure;
            advertised += &secure;
            more = secrets.settings();
        }
        let three = shape.nodes >= 3;
        let template = std::fs::read_to_string(fixtures().join("server.properties")).unwrap();
        let text = template
            .replace("${NODE}", &self.number.to_string())
            .replace("${VOTERS}", &voters.collect::<Vec<_>>().join(","))
            .replace("${LISTENERS}", &listeners)
            .replace("${ADVERTISED}", &advertised)
            .replace("${DIR}", &self.folder.display().to_string())
            .replace("${FACTOR}", if three { "3" } else { "1" })
            .replace("${IN_SYNC}", if three { "2" } else { "1" });
        text + &more
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, PORT + 10 * (self.number as u16 - 1)))
    }

    /// Where clients connect with TLS and a password.
    pub(super) fn secure_address(&self) -> SocketAddr {
        let plain = self.address();
        SocketAddr::new(plain.ip(), plain.port() + SECURE)
    }

    /// Starts the process; it is not ready yet.
    pub(super) fn launch(&mut self) {
        static CLASS_PATH: OnceLock<String> = OnceLock::new();
        assert!(self.child.is_none(), "node {} runs", self.number);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        // The kernel kills the broker when the thread that started it ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC"]);
        command.args(["-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
        command.args(&self.java);
        command.arg("-cp").arg(CLASS_PATH.get_or_init(class_path)).arg("kafka.Kafka");
        command.arg(self.folder.join("server.properties"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = spawn(command);
        self.child = Some(child.expect("setpriv (util-linux) and java start the broker"));
    }

    /// Waits until the node takes connections.
    ///
    /// Returns false if another process has its port.
    pub(super) fn wait(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                self.child = None;
                if log.contains("Address already in use") {
                    return false;
                }
                panic!("broker {} ended, {status}:\n{log}", self.number);
            }
            if TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_ok() {
                return true;
            }
            let late = begun.elapsed() >= PATIENCE;
            assert!(!late, "no broker after {PATIENCE:?}: {}", self.log().display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Ends the process at once, as a crash does.
    pub(super) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends the process in order.
    pub(super) fn term(&mut self) {
        if let Some(mut child) = self.child.take() {
            run(Command::new("kill").args(["-TERM", &child.id().to_string()]), "");
            child.wait().unwrap();
        }
    }

    /// Stops the process where it stands, or lets it go on.
    pub(super) fn freeze(&self, frozen: bool) {
        if let Some(child) = &self.child {
            let signal = if frozen { "-STOP" } else { "-CONT" };
            run(Command::new("kill").args([signal, &child.id().to_string()]), "");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

type Spawn = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that ends only with the whole process: the signal that ends a
/// broker comes at the end of the thread that started it, and a test's thread ends early.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Spawn>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = channel::<Spawn>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = channel();
    spawner.send((command, reply)).expect("the spawner never ends");
    answer.recv().expect("the spawner answers")
}
