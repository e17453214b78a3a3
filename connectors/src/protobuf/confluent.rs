//! The `.proto` files that Confluent's registry knows of itself: a schema imports them without a
//! reference. They are written here as far as schemas need them, with the numbers and names that
//! Confluent's documentation of its Protobuf support has.

/// Names and texts.
pub(super) const FILES: [(&str, &str); 2] =
    [("confluent/meta.proto", META), ("confluent/type/decimal.proto", DECIMAL)];

const META: &str = r#"syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;

const DECIMAL: &str = r#"syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
"#;
