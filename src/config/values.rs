//! Parsers of the values of options, by their kind. An error continues the sentence "TEXT ...": what is wrong with it, and
//! what would be right.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use crate::codec::published_view::ViewsFormat;
use crate::codec::{Encoding, Framing, ID_LIMIT};
use crate::domain::Timestamp;
use crate::logging::{self, LogFormat};
use crate::source::TopicNames;
use crate::source::archive::Manifest;

type ParseResult<T> = Result<T, String>;

pub fn text(text: &str) -> ParseResult<String> {
    match text.trim() {
        "" => Err("is empty; give a name".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Parses the id of an organization, as a header can name it.
pub fn organization(text: &str) -> ParseResult<String> {
    match text {
        _ if text.trim().is_empty() => Err("is empty; give the id of an organization".to_owned()),
        _ if text.trim() != text => Err("begins or ends with a blank, which no header can".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub fn address(text: &str) -> ParseResult<SocketAddr> {
    text.parse()
        .map_err(|_| "is not IP:PORT; give for instance 127.0.0.1:8080, or [::]:8080 for every interface".into())
}

/// Parses the form of published views.
pub fn views_format(text: &str) -> ParseResult<ViewsFormat> {
    let names = ViewsFormat::ALL.map(ViewsFormat::name);
    let format = ViewsFormat::ALL.into_iter().find(|format| format.name() == text);
    format.ok_or_else(|| format!("is none of {}", names.join(", ")))
}

/// Parses `KEY=VALUE`.
pub fn pair(text: &str) -> ParseResult<(String, String)> {
    let (key, value) = text.split_once('=').ok_or("has no `=`; give KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Parses one or more `HOST:PORT`, as librdkafka takes them; the port may be left out.
pub fn brokers(text: &str) -> ParseResult<String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    let sound = |broker: &str| {
        let address = broker.split_once("://").map_or(broker, |(_, address)| address);
        let (host, port) = match address.rsplit_once(':') {
            // `[::1]` has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (address, "9092"),
        };
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match brokers.iter().find(|broker| !sound(broker)) {
        None => Ok(brokers.join(",")),
        Some(broker) => {
            Err(format!("has {broker:?}, which is not HOST:PORT; give for instance kafka-1:9092,kafka-2:9092"))
        }
    }
}

/// Parses an optimization's id: any text, as it is.
pub fn id(text: &str) -> ParseResult<String> {
    match text {
        "" => Err("is empty; give an id".to_owned()),
        _ if text.len() > ID_LIMIT => Err(format!("is longer than the {ID_LIMIT} bytes that an id may have")),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a time, to milliseconds since 1970.
pub fn time(text: &str) -> ParseResult<i64> {
    let time = Timestamp::parse(text).ok_or("is no time; give for instance 2026-03-01T09:00:00Z")?;
    Ok(time.millis())
}

/// Parses a generation's number, as it is listed.
pub fn generation(text: &str) -> ParseResult<u64> {
    text.parse::<u32>().map(u64::from).map_err(|_| "is no generation; give its number, such as 000001".to_owned())
}

/// Parses a topic's name by Kafka's own rule.
pub fn topic(text: &str) -> ParseResult<String> {
    match text {
        "" | "." | ".." => Err("is not a topic's name; give for instance optimizations".to_owned()),
        _ if text.len() > 249 => Err("is too long; Kafka takes 249 characters at most".to_owned()),
        _ if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) => {
            Err("has a character that Kafka takes in no topic; use a-z, A-Z, 0-9, . _ -".into())
        }
        _ => Ok(text.to_owned()),
    }
}

pub fn duration(text: &str) -> ParseResult<Duration> {
    humantime::parse_duration(text).map_err(|why| {
        format!("is not a duration: {why}; give a number with its unit, such as 500ms, 10s or 7days")
    })
}

/// Parses a duration at which something may repeat.
pub fn interval(text: &str) -> ParseResult<Duration> {
    match duration(text)? {
        Duration::ZERO => Err("is no time at all; give more, such as 500ms or 10s".to_owned()),
        interval => Ok(interval),
    }
}

/// Parses the time for which a request may wait.
pub fn wait(text: &str) -> ParseResult<Duration> {
    match duration(text)? {
        longer if longer > Duration::from_secs(30) => {
            Err("is more than 30s, the longest wait; give less".to_owned())
        }
        wait => Ok(wait),
    }
}

/// Parses a size in bytes that is not less than `least`.
pub fn bytes(least: u64) -> impl Fn(&str) -> ParseResult<u64> + Clone + Send + Sync + 'static {
    move |text| {
        let size = ByteSize::from_str(text).map_err(|_| {
            "is not a size; give a number of bytes, or one with its unit, such as 256MiB or 1GiB".to_owned()
        })?;
        if size.as_u64() < least {
            return Err(format!("is too little; give {} or more", ByteSize(least)));
        }
        Ok(size.as_u64())
    }
}

/// Parses a whole number that is not less than `least` and fits where it is used.
pub fn at_least<T>(least: T) -> impl Fn(&str) -> ParseResult<T> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.replace('_', "").parse::<T>() {
        Ok(number) if number >= least => Ok(number),
        Ok(_) => Err(format!("is too little; give {least} or more")),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            Err("is too much; give a smaller number".to_owned())
        }
        Err(_) => Err(format!("is not a whole number; give {least} or more")),
    }
}

/// Parses a number of events or records a second.
pub fn rate(text: &str) -> ParseResult<f64> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("is not a number above 0; give for instance 100 or 0.5".to_owned()),
    }
}

pub fn encoding(text: &str) -> ParseResult<Encoding> {
    match text {
        "json" => Ok(Encoding::Json),
        "protobuf" => Ok(Encoding::Protobuf),
        _ => Err("is neither json nor protobuf".to_owned()),
    }
}

pub fn framing(text: &str) -> ParseResult<Framing> {
    match text {
        "auto" => Ok(Framing::Auto),
        "confluent" => Ok(Framing::Confluent),
        "glue" => Ok(Framing::Glue),
        "apicurio" => Ok(Framing::Apicurio),
        "none" => Ok(Framing::None),
        _ => Err("is none of auto, confluent, glue, apicurio and none".to_owned()),
    }
}

pub fn log_format(text: &str) -> ParseResult<LogFormat> {
    match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither human nor json".to_owned()),
    }
}

pub fn log_filter(text: &str) -> ParseResult<String> {
    match logging::check_filter(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(format!("is not a log filter: {why}; give for instance warn, or info,optview=debug")),
    }
}

/// Parses the path of a directory that is there, or that can be made.
pub fn directory(text: &str) -> ParseResult<PathBuf> {
    if text.is_empty() {
        return Err("is empty; give a directory".to_owned());
    }
    let path = PathBuf::from(text);
    if path.exists() && !path.is_dir() {
        return Err("is not a directory; give one, or a path where one can be made".to_owned());
    }
    Ok(path)
}

/// Parses the path of a directory, there or not. It is made absolute, as another process may read the directory.
pub fn directory_anywhere(text: &str) -> ParseResult<PathBuf> {
    std::path::absolute(directory(text)?).map_err(|why| format!("is no path: {why}; give a directory"))
}

/// Parses the path of an archive's directory, and reads the names of its topics.
pub fn archive(text: &str) -> ParseResult<(PathBuf, TopicNames)> {
    let directory = directory(text)?;
    match Manifest::read(&directory) {
        Ok(manifest) => Ok((directory, manifest.topic_names())),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Parses the path of a file, there or not. It is made absolute, as another process may open the file.
pub fn file(text: &str) -> ParseResult<PathBuf> {
    if text == "-" {
        return Err("is not taken for standard input or output here; give a file".to_owned());
    }
    match std::path::absolute(text) {
        Ok(path) if path.is_dir() => Err("is a directory; give a file".to_owned()),
        Ok(path) => Ok(path),
        Err(why) => Err(format!("is no path: {why}; give a file")),
    }
}

/// Parses the path of a file that can be read now.
pub fn readable_file(text: &str) -> ParseResult<PathBuf> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        return Err("is a directory; give a file".to_owned());
    }
    match fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(why) => Err(format!("cannot be read: {why}; give a file that can")),
    }
}
