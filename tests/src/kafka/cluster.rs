//! Brokers that belong together, and their topics.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::client::config;
use super::jars::workshop;
use super::node::{Node, Shape};
use super::{PATIENCE, Secrets, unique, wait};

/// Where a Kafka is reached, and what can be done there from outside.
pub struct Broker {
    brokers: String,
    /// Keeps the processes of a cluster of our own.
    _nodes: Option<Box<Cluster>>,
}

/// A cluster of our own.
pub struct Cluster {
    nodes: Vec<Node>,
    folder: PathBuf,
    secrets: Option<Secrets>,
    broker: Broker,
}

/// What a cluster is like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// Whether there is also a listener with TLS and passwords.
    pub secure: bool,
}

impl Broker {
    /// An existing one.
    pub fn at(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), _nodes: None }
    }

    /// What clients have as `bootstrap.servers`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    fn admin<T>(
        &self,
        what: &str,
        call: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T,
    ) -> T {
        let admin: AdminClient<_> = config(&self.brokers).create().unwrap();
        let options = AdminOptions::new()
            .request_timeout(Some(Duration::from_secs(30)))
            .operation_timeout(Some(Duration::from_secs(30)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect(what);
        runtime.block_on(call(&admin, &options))
    }

    /// Creates a topic and waits until it can be used.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = self.admin(name, async |admin, options| {
            admin.create_topics([&topic], options).await.unwrap().remove(0)
        });
        made.unwrap_or_else(|(name, e)| panic!("topic {name}: {e}"));
        wait("the topic", || (self.partitions(name) == partitions as usize).then_some(()));
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, name: &str) {
        let gone = self.admin(name, async |admin, options| {
            admin.delete_topics(&[name], options).await.unwrap().remove(0)
        });
        gone.unwrap_or_else(|(name, e)| panic!("topic {name}: {e}"));
        wait("the topic to go", || (self.partitions(name) == 0).then_some(()));
    }

    /// Gives a topic more partitions.
    pub fn add_partitions(&self, name: &str, partitions: usize) {
        let more = NewPartitions::new(name, partitions);
        let made = self.admin(name, async |admin, options| {
            admin.create_partitions([&more], options).await.unwrap().remove(0)
        });
        made.unwrap_or_else(|(name, e)| panic!("topic {name}: {e}"));
        wait("the partitions", || (self.partitions(name) == partitions).then_some(()));
    }

    /// Removes the records of a partition below an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, below: i64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(below)).unwrap();
        self.admin(topic, async |admin, options| {
            admin.delete_records(&list, options).await.unwrap();
        });
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    pub fn partitions(&self, name: &str) -> usize {
        let consumer: BaseProducer = config(&self.brokers).create().unwrap();
        let metadata = consumer.client().fetch_metadata(None, Duration::from_secs(30)).unwrap();
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        topic.map_or(0, |topic| topic.partitions().iter().filter(|p| p.leader() >= 0).count())
    }

    /// One transaction, so that the broker makes its internal topics now.
    fn warm_up(&self) {
        let mut settings = config(&self.brokers);
        settings.set("transactional.id", unique("warm-up"));
        let producer: BaseProducer = settings.create().unwrap();
        let begun = Instant::now();
        while let Err(error) = producer.init_transactions(Duration::from_secs(10)) {
            assert!(begun.elapsed() < PATIENCE, "the broker runs no transactions: {error}");
        }
    }
}

impl Cluster {
    /// Starts brokers and waits until they are ready.
    pub fn start(nodes: usize) -> Self {
        Self::with(Options { nodes, secure: false })
    }

    /// Starts brokers of a certain kind.
    pub fn with(options: Options) -> Self {
        sweep();
        loop {
            if let Some(cluster) = Self::attempt(options) {
                return cluster;
            }
        }
    }

    /// Starts brokers on the next address of our own; `None` if somebody else is there.
    fn attempt(options: Options) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let spread = pid.wrapping_mul(0x9e37_79b9).wrapping_add(number.wrapping_mul(0x0101_0101));
        let [a, b, c, _] = spread.to_be_bytes();
        let address = Ipv4Addr::new(127, 1 + a % 250, b, 1 + c % 250);
        let folder = workshop().join(format!("run-{pid}-{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let secrets = options.secure.then(|| Secrets::new(&folder, address));
        let shape = Shape {
            nodes: options.nodes,
            cluster_id: "braidbraidbraidbraid-w",
            secrets: secrets.as_ref(),
        };
        let numbers = 1..=options.nodes;
        let mut nodes: Vec<Node> =
            numbers.map(|number| Node::new(number, address, &folder, &shape)).collect();
        nodes.iter_mut().for_each(Node::launch);
        if !nodes.iter_mut().all(Node::wait) {
            return None;
        }
        let brokers: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
        let broker = Broker::at(&brokers.join(","));
        broker.warm_up();
        Some(Self { nodes, folder, secrets, broker })
    }

    /// The cluster for the rest of the process's life.
    pub(super) fn into_broker(self) -> Broker {
        let brokers = self.broker.brokers.clone();
        Broker { brokers, _nodes: Some(Box::new(self)) }
    }

    /// What clients have as `bootstrap.servers` for TLS and passwords.
    pub fn secure_brokers(&self) -> String {
        let addresses = self.nodes.iter().map(|node| node.secure_address().to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Certificates and users, if the cluster has any.
    pub fn secrets(&self) -> &Secrets {
        self.secrets.as_ref().expect("the cluster was started with `secure`")
    }

    /// Ends a node (from 1) as a crash does.
    pub fn kill9(&mut self, node: usize) {
        self.nodes[node - 1].kill9();
    }

    /// Ends a node in order.
    pub fn term(&mut self, node: usize) {
        self.nodes[node - 1].term();
    }

    /// Stops a node where it stands, or lets it go on.
    pub fn freeze(&self, node: usize, frozen: bool) {
        self.nodes[node - 1].freeze(frozen);
    }

    /// Starts a node again and waits until it takes connections.
    pub fn launch(&mut self, node: usize) {
        let node = &mut self.nodes[node - 1];
        node.launch();
        assert!(node.wait(), "somebody took the port of a broker that was down");
    }
}

impl Deref for Cluster {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        // What is left of a failed test can be looked at.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes what earlier processes left, once.
fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(entries) = std::fs::read_dir(workshop()) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let pid = name.strip_prefix("run-").and_then(|rest| rest.split('-').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    });
}
