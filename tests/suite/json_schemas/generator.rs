//! The generator of the schemas in `proto/schemas/`: from the descriptors of `proto/`, and from the rules of the decoder that the
//! descriptors do not have. JSON Schema draft 7, which AsyncAPI and registries take.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

/// The ids that an event must have, by message and field. None of them is empty.
const REQUIRED: [(&str, &str); 6] = [
    ("OptimizationEvent", "optimization_id"),
    ("OptimizationCreated", "organization_id"),
    ("OptimizationCreated", "project_id"),
    ("OptimizationJobLinked", "job_id"),
    ("JobEvent", "job_id"),
    ("MultistartRunEvent", "job_id"),
];

/// The ids that may be absent, but not empty.
const NOT_EMPTY: [(&str, &str); 1] = [("OptimizationCreated", "job_id")];

/// The further texts whose length has a bound.
const BOUNDED: [(&str, &str); 4] = [
    ("Metadata", "event_id"),
    ("OptimizationCreated", "kind"),
    ("JobEvent", "optimization_id"),
    ("MultistartRunEvent", "optimization_id"),
];

/// The fields of other streams' events by which an event on the wrong topic is recognized.
const FOREIGN: [(&str, [&str; 2]); 1] = [("JobEvent", ["runIndex", "run_index"])];

const TIME: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";
const INTEGER: &str = "^[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$";
const NUMBER: &str = "^(NaN|-?Infinity|-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?)$";

/// Returns the schema of a topic's message, with those of the messages in it.
pub fn schema(message: &MessageDescriptor) -> Value {
    let mut definitions = Map::new();
    define(message, &mut definitions);
    let Some(Value::Object(mut schema)) = definitions.remove(message.name()) else {
        unreachable!("it was defined")
    };
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!(message.name()));
    schema.insert("type".into(), json!("object"));
    schema.insert("definitions".into(), Value::Object(definitions));
    Value::Object(schema)
}

fn define(message: &MessageDescriptor, definitions: &mut Map<String, Value>) {
    let mut properties = Map::new();
    let mut rules = Vec::new();
    for field in message.fields() {
        let schema = field_schema(message, &field, definitions);
        let names = spellings(&field);
        for name in &names {
            properties.insert((*name).to_owned(), schema.clone());
        }
        if names.len() > 1 {
            rules.push(json!({"not": {"type": "object", "required": names}}));
        }
        if REQUIRED.contains(&(message.name(), field.name())) {
            let present = names.iter().map(|name| present(name, "string"));
            rules.push(json!({"anyOf": present.collect::<Vec<_>>()}));
        }
    }
    for (_, names) in FOREIGN.iter().filter(|(owner, _)| *owner == message.name()) {
        for name in names {
            properties.insert((*name).to_owned(), json!({"description": "No job has one.", "type": "null"}));
        }
    }
    rules.extend(message.oneofs().filter(|oneof| !oneof.is_synthetic()).map(|oneof| exactly_one(&oneof)));
    let mut schema = Map::new();
    schema.insert("description".into(), json!(comment(message.parent_file_descriptor_proto(), message.path())));
    schema.insert("type".into(), json!(["object", "null"]));
    schema.insert("properties".into(), Value::Object(properties));
    if !rules.is_empty() {
        schema.insert("allOf".into(), Value::Array(rules));
    }
    definitions.insert(message.name().to_owned(), Value::Object(schema));
}

/// Returns the names of a field: that of the mapping first, and that of the proto file if it is another one.
fn spellings(field: &FieldDescriptor) -> Vec<&str> {
    let mut names = vec![field.json_name(), field.name()];
    names.dedup();
    names
}

/// Returns the rule that a field is there and is not null.
fn present(name: &str, kind: &str) -> Value {
    json!({"required": [name], "properties": {name: {"type": kind}}})
}

fn exactly_one(oneof: &OneofDescriptor) -> Value {
    let fields: Vec<FieldDescriptor> = oneof.fields().collect();
    let names = fields.iter().flat_map(spellings);
    json!({"oneOf": names.map(|name| present(name, "object")).collect::<Vec<_>>()})
}

fn field_schema(
    owner: &MessageDescriptor,
    field: &FieldDescriptor,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut schema = match field.kind() {
        Kind::String => text_schema(owner.name(), field.name()),
        Kind::Uint32 => integer_schema(u64::from(u32::MAX)),
        Kind::Uint64 => integer_schema(u64::MAX),
        Kind::Double => json!({"type": ["number", "string", "null"], "pattern": NUMBER}),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => json!({"type": ["string", "null"], "pattern": TIME}),
            "google.protobuf.Struct" => json!({"type": ["object", "null"]}),
            _ => {
                define(&message, definitions);
                json!({"allOf": [{"$ref": format!("#/definitions/{}", message.name())}]})
            }
        },
        kind => panic!("{}: the generator does not know {kind:?} yet", field.full_name()),
    };
    schema["description"] = json!(comment(owner.parent_file_descriptor_proto(), field.path()));
    schema
}

fn text_schema(owner: &str, name: &str) -> Value {
    let mut schema = json!({"type": ["string", "null"]});
    let is_id = REQUIRED.contains(&(owner, name)) || NOT_EMPTY.contains(&(owner, name));
    if is_id {
        schema["minLength"] = json!(1);
    }
    if is_id || BOUNDED.contains(&(owner, name)) {
        schema["maxLength"] = json!(optview::codec::ID_LIMIT);
    }
    schema
}

fn integer_schema(maximum: u64) -> Value {
    json!({"type": ["integer", "string", "null"], "minimum": 0, "maximum": maximum, "pattern": INTEGER})
}

/// Returns the comment before a message or a field, on one line a paragraph.
fn comment(file: &prost_types::FileDescriptorProto, path: &[i32]) -> String {
    let locations = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let location = locations.iter().find(|location| location.path == path);
    let text = location.and_then(|location| location.leading_comments.as_deref()).unwrap_or_default();
    let paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
