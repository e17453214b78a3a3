//! TLS and passwords: properties go to the client as they are, and what is refused is told.

use std::sync::atomic::Ordering;
use std::time::Duration;

use braid_tests::kafka::{Cluster, Options, Secrets, Writer, read_all, wait};
use connectors::kafka::{ClientSpec, KafkaSink, KafkaSinkSpec, KafkaSource, KafkaSpec};

use super::support::read;

fn client(cluster: &Cluster, mechanism: &str, password: &str) -> ClientSpec {
    let mut client = ClientSpec::new(&cluster.secure_brokers());
    let ca = cluster.secrets().ca().display().to_string();
    for (property, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanisms", mechanism),
        ("sasl.username", Secrets::USER),
        ("sasl.password", password),
        ("ssl.ca.location", &ca),
    ] {
        client.properties.insert(property.to_owned(), value.to_owned());
    }
    client
}

#[test]
fn tls_with_passwords() {
    let cluster = Cluster::with(Options { nodes: 1, secure: true });
    cluster.create_topic("in", 1, &[]);
    let writer = Writer::new(cluster.brokers());
    writer.send("in", 0, "secret");
    writer.flush();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let client = client(&cluster, mechanism, Secrets::PASSWORD);
        let spec = KafkaSpec::new("web", 0, client.clone(), &["in"]);
        let mut source = KafkaSource::open(&spec, &[]).unwrap();
        assert_eq!(read(&mut source, 1)[0].2, "secret");
        let prefix = mechanism.to_lowercase();
        let spec = KafkaSinkSpec::new(client, &prefix, &prefix, "hash");
        let mut sink = KafkaSink::open(&spec, &[braid_tests::kafka::counter_schema()]).unwrap();
        sink.close(1, 0).unwrap();
        sink.commit().unwrap();
        let progress = read_all(cluster.brokers(), &format!("{prefix}.progress"));
        assert!(progress.last().unwrap().value.as_ref().unwrap().contains("\"epoch\":1"));
    }
    let wrong = client(&cluster, "PLAIN", "guess");
    let mut spec = KafkaSpec::new("web", 0, wrong.clone(), &["in"]);
    spec.patience = Duration::from_millis(500);
    let error = KafkaSource::open(&spec, &[]).err().unwrap().to_string();
    assert!(error.contains("Authentication failed"), "{error}");
    let mut spec = KafkaSinkSpec::new(wrong, "p", "j", "hash");
    spec.patience = Duration::from_millis(500);
    let error = KafkaSink::open(&spec, &[]).err().unwrap().to_string();
    assert!(error.contains("Authentication failed"), "{error}");
    assert!(!error.contains("guess"), "{error}");
}

/// Tokens of an issuer (`OpenID` Connect): the client gets them, and new ones before they expire.
#[test]
fn tokens_of_an_issuer() {
    let cluster = Cluster::with(Options { nodes: 1, secure: true });
    cluster.create_topic("in", 1, &[]);
    let writer = Writer::new(cluster.brokers());
    let (issuer, given) = cluster.secrets().issuer(5);
    let bearer = |secret: &str| {
        let mut client = client(&cluster, "OAUTHBEARER", "");
        for (property, value) in [
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.id", Secrets::USER),
            ("sasl.oauthbearer.client.secret", secret),
            ("sasl.oauthbearer.token.endpoint.url", issuer.as_str()),
        ] {
            client.properties.insert(property.to_owned(), value.to_owned());
        }
        client
    };
    let spec = KafkaSpec::new("web", 0, bearer(Secrets::PASSWORD), &["in"]);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let spec = KafkaSinkSpec::new(bearer(Secrets::PASSWORD), "p", "j", "hash");
    let mut sink = KafkaSink::open(&spec, &[braid_tests::kafka::counter_schema()]).unwrap();
    let first = given.load(Ordering::Relaxed);
    assert!(first > 0);
    wait("further tokens", || (given.load(Ordering::Relaxed) >= first + 4).then_some(()));
    writer.send("in", 0, "secret");
    writer.flush();
    assert_eq!(read(&mut source, 1)[0].2, "secret");
    sink.close(1, 0).unwrap();
    sink.commit().unwrap();
    let mut spec = KafkaSinkSpec::new(bearer("guess"), "p", "j", "hash");
    spec.patience = Duration::from_secs(1);
    let error = KafkaSink::open(&spec, &[]).err().unwrap().to_string();
    assert!(error.contains("oidc") || error.contains("token"), "{error}");
    assert!(!error.contains("guess"), "{error}");
}
