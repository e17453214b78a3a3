//! The job that reads a shop.

use super::Compression;

/// The job file, for records that lie beside it in `web/`, `mobile/` and `backend/`.
pub fn job_file(compression: Compression) -> String {
    JOB.replace(".ndjson", &format!(".ndjson{}", compression.extension()))
}

const JOB: &str = r#"# Made by `braid gen`, to be run with `braid run` and changed as you like.
[job]
name = "shop"
out = "out"                        # tables land in out/<view>, beside this file

[[source]]
name = "web"
connector = "file"
path = "web/*.ndjson"
channel = "web"

[[source]]
name = "mobile"
connector = "file"
path = "mobile/*.ndjson"
channel = "mobile"

[[source]]
name = "backend"                   # has field names of its own
connector = "file"
path = "backend/*.ndjson"
channel = "backend"
[source.fields]
messageId = "id"
event = "kind"
userId = "customer"
"traits.email" = "email"
"properties.order_id" = "order_id"
"properties.revenue" = "amount"
timestamp = { field = "at", format = "unix_ms" }
receivedAt = { field = "exported_at", format = "unix_ms" }

[time]
disorder = "2h"
admit = "7d"
ids = "30d"
history = "400d"

[dedup]                            # of one order the backend's purchase counts
business_key = "properties.order_id"
strongest = ["backend"]

[identity]
cluster_max = 1000

[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0

[[identity.type]]
name = "email"
from = ["traits.email", "context.traits.email"]
rank = 1
owners_max = 5

[[identity.type]]
name = "anonymous_id"              # a cookie, or an installation of the application
from = ["anonymousId"]
rank = 2
degree_max = 100
owners_max = 10                    # more, and it is a kiosk
forward = "30d"

[[identity.type]]
name = "device_id"                 # a phone
from = ["context.device.id"]
rank = 2
degree_max = 100
owners_max = 10
forward = "30d"

[[view]]
kind = "sessions"

[[view]]
kind = "funnel"
name = "purchase"
steps = [{ event = "browse" }, { event = "cart" }, { event = "checkout" }, { event = "purchase" }]
funnelWindowInterval = 7
funnelWindowIntervalUnit = "day"

[[view]]
kind = "trend"
name = "revenue"
metric = "sum"
property = "revenue"
filter = { events = ["purchase", "refund"] }
period = "day"

[[view]]
kind = "trend"
name = "people"
metric = "people"
period = "day"

[[view]]
kind = "trend"
name = "events"
metric = "events"
period = "day"
breakdown = "channel"

[[sink]]
connector = "table"
"#;
