//! Funnels over a shop's clicks beside `ClickHouse`'s `windowFunnel`, in every mode.
//!
//! The figures are those of `tests/peers/clickhouse_funnels.py` with `ClickHouse` 26.9 (`chdb`
//! 4.4.0 of `PyPI`). `strict_once` means what our ordered funnels mean and gives the same
//! everywhere; why the other modes differ where they do, `operators/src/views/funnel/SPEC.md`
//! explains.

use std::fmt::Write as _;

use operators::model::Cell;

use crate::support::{Job, data, text};

/// Name, steps and window in seconds; then how many users reach each step by `strict_once` (and our
/// ordered funnel), and by our strict one.
const CASES: [(&str, &[&str], u32, &[i64], &[i64]); 5] = [
    ("purchase", &["catalog", "cart", "purchase"], 1_209_600, &[600, 448, 223], &[600, 112, 9]),
    ("hour", &["catalog", "cart", "purchase"], 3600, &[600, 422, 177], &[600, 111, 9]),
    ("minute", &["catalog", "cart", "purchase"], 60, &[600, 53, 0], &[600, 40, 0]),
    (
        "long",
        &["home", "catalog", "product_view", "cart", "purchase"],
        86_400,
        &[586, 547, 494, 182, 44],
        &[586, 404, 144, 3, 0],
    ),
    // By default an event may take two steps there, which gives 600, 600, 422.
    ("twice", &["catalog", "catalog", "cart"], 3600, &[600, 573, 261], &[600, 440, 26]),
];

fn job() -> Job {
    let mut job = format!(
        r#"
[job]
name = "shop"
out = "out"
without = ["events", "identifiers", "people"]
[[source]]
name = "clicks"
connector = "file"
path = "{}"
channel = "web"
[source.fields]
messageId = {{ concat = ["session_id", "timestamp", "event"] }}
userId = "user_id"
timestamp = {{ field = "timestamp", format = "naive", zone = "UTC" }}
[time]
admit = "4000d"
ids = "4000d"
history = "4000d"
"#,
        data("shop.csv.gz").display()
    );
    for (name, steps, window, ..) in CASES {
        let steps: Vec<String> =
            steps.iter().map(|step| format!("{{ event = \"{step}\" }}")).collect();
        for order in ["ordered", "strict"] {
            let _ = write!(
                job,
                "[[view]]\nkind = \"funnel\"\nname = \"{name}_{order}\"\nsteps = [{}]\n\
                 funnelOrderType = \"{order}\"\nfunnelWindowInterval = {window}\n\
                 funnelWindowIntervalUnit = \"second\"\nperiods = [\"all\"]\n",
                steps.join(", ")
            );
        }
    }
    Job::new(&job)
}

#[test]
fn strict_once_says_the_same_as_our_ordered_funnels() {
    let job = job();
    job.run(2, 5000);
    for (name, _, _, ordered, strict) in CASES {
        for (order, expected) in [("ordered", ordered), ("strict", strict)] {
            let table = job.table(&format!("funnel_{name}_{order}"));
            let mut counts = vec![0; expected.len()];
            for row in table.select(&["period", "step", "count"]) {
                assert_eq!(text(&row[0]), "all");
                let (Cell::Int(step), Cell::Int(count)) = (&row[1], &row[2]) else {
                    panic!("{row:?}: step and count are numbers");
                };
                counts[*step as usize - 1] += count;
            }
            assert_eq!(counts, expected, "{name}, {order}");
        }
    }
}
