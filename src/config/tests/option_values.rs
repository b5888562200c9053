//! Values of options for the tests.

use crate::cli;

pub fn a_value_that_is_no_default(option: &clap::Arg, file: &str, directory: &str) -> String {
    match cli::value_name(option) {
        "HOST:PORT,..." => "other:9093,[::1]:9094",
        "NAME" => "some.name",
        "TOPIC" if option.get_id() == "publish_views" || option.get_id() == "from_views" => "views",
        "TOPIC" => "jobs",
        "KEY" => "some-key",
        "TYPE" => "application/json",
        "KEY=VALUE" => "client.id=me",
        "FILE" => file,
        "DIR" => directory,
        "IP:PORT" => "[::]:7777",
        "DURATION" => "3s",
        "BYTES" => "3GiB",
        "COUNT" | "NUMBER" => "77",
        "json|protobuf" => "protobuf",
        "json|flat|protobuf" => "protobuf",
        "rebuild|refuse" => "refuse",
        "auto|confluent|glue|apicurio|none" => "glue",
        "human|json" => "json",
        "true|false" => "true",
        "TIME" => "2026-03-01T09:00:00Z",
        "GENERATION" => "000007",
        "TIME|TOPIC/PARTITION@OFFSET" => "jobs/2@41",
        "ORGANIZATION" => "org-7",
        "ORIGIN" => "https://app.example.com",
        "json|common" => "common",
        "ADDRESS" => "ada@example.com",
        "TIME|DURATION" => "90days",
        "FILTER" => "warn,optview=debug",
        "TEXT" => "some-text",
        other => panic!("give a value for {other}"),
    }
    .to_owned()
}
