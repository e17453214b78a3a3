//! `braid schema`: what the records of a job's topics hold.

use connectors::avro::Schema;
use serde_json::Value;

use crate::support::Job;

fn page(sinks: &str) -> Value {
    let job = Job::new(&format!(
        "[job]\nname = \"shop-1\"\nout = \"out\"\n[[source]]\nname = \"s\"\nconnector = \"file\"\n\
         path = \"a.ndjson\"\n[[view]]\nkind = \"sessions\"\n{sinks}"
    ));
    job.write("a.ndjson", "");
    let output = job.command("schema").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const JSON: &str = "[[sink]]\nconnector = \"kafka\"\nbrokers = \"localhost:1\"\n";
const AVRO: &str = "[[sink]]\nconnector = \"kafka\"\nbrokers = \"localhost:1\"\n\
                    prefix = \"eu.shop\"\nformat = \"avro\"\nregistry = \"http://localhost:1\"\n";

#[test]
fn schemas_are_those_of_the_sinks() {
    let page = page(&format!("{JSON}{AVRO}"));
    let sessions = &page["sessions"];
    assert_eq!(sessions["topics"], serde_json::json!(["shop-1.sessions"]));
    assert_eq!(sessions["value"]["properties"]["duration_s"]["type"], "number");
    let avro = &sessions["avro"]["eu.shop.sessions"];
    let name = |part: &str| [&avro[part]["namespace"], &avro[part]["name"]].map(Value::as_str);
    assert_eq!(name("key"), [Some("eu.shop"), Some("sessions_key")]);
    assert_eq!(name("value"), [Some("eu.shop"), Some("sessions")]);
    let fields = avro["value"]["fields"].as_array().unwrap();
    assert_eq!(fields[3]["name"], "start");
    assert_eq!(fields[3]["type"]["logicalType"], "timestamp-micros");
    for (view, of_view) in page.as_object().unwrap() {
        for part in ["key", "value"] {
            let schema = of_view["avro"][format!("eu.shop.{view}")][part].to_string();
            Schema::parse(&schema).unwrap();
        }
    }
}

#[test]
fn of_topics_in_one_format_only_that_is_shown() {
    let avro = page(AVRO);
    assert!(avro["people"]["avro"].is_object() && avro["people"].get("value").is_none());
    for sinks in ["", JSON] {
        let json = page(sinks);
        assert!(json["people"]["value"].is_object() && json["people"].get("avro").is_none());
    }
}
