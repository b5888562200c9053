//! Values are read once, and as they were given.

use std::os::fd::AsRawFd;

use super::*;

#[test]
fn the_keys_may_come_from_a_pipe_which_is_read_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"[[keys]]\nkey = \"k\"\norganizations = [\"o\"]\n").unwrap();
    drop(writer);
    let config = serve(&format!("{LEAST} --api-keys /proc/self/fd/{}", reader.as_raw_fd()), &[]);
    assert!(config.api_keys.is_some_and(|keys| keys.find(b"k").is_some()));
}

#[test]
fn an_empty_setting_is_a_mistake_and_an_empty_line_of_a_variable_is_none() {
    let arguments = ["optview"].into_iter().chain(LEAST.split(' ')).chain(["--kafka-property", ""]);
    let line = cli::parse::<Config>(arguments.map(OsString::from)).expect("a sound command line");
    let mistakes =
        super::super::read(&line, &std::iter::empty::<(&str, &str)>().collect()).unwrap_err().to_string();
    assert!(mistakes.contains("--kafka-property"), "{mistakes}");
    let config = serve(LEAST, &[("OPTVIEW_KAFKA_PROPERTY", "\nclient.id=a\n\n")]);
    assert_eq!(config.projection.kafka.properties.len(), 1);
}
