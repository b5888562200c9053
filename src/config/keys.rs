//! The command `keys`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::values;

/// A command under `keys` with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KeysConfig {
    /// Make a key, write its hash into the file, and print the key, once
    Add(KeysAddConfig),
    /// List the keys of a file, which has their hashes only
    List(KeyFileConfig),
    /// Take a key out of the file
    Revoke(KeysRevokeConfig),
}

/// The file that a command under `keys` works on.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeyFileConfig {
    /// The file of keys that `serve --api-keys` reads; a process that serves reads it again by itself
    #[arg(long = "api-keys", id = "api_keys", value_name = "FILE", value_parser = values::file)]
    pub path: PathBuf,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// The settings of `keys add`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeysAddConfig {
    /// An organization whose views the key shows; may be repeated
    #[arg(id = "organization", long = "organization", value_name = "ORGANIZATION", required = true)]
    #[arg(action = clap::ArgAction::Append, value_parser = values::organization)]
    pub organizations: Vec<String>,
    /// The name by which the key is listed and revoked. Without it: the start of its hash
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub name: Option<String>,
    /// Address of the key's owner
    #[arg(long, value_name = "ADDRESS", value_parser = values::text)]
    pub email: Option<String>,
    /// The time from which on the key is refused (RFC 3339), or the time that it is valid for, such as 90days. Without it: never
    #[arg(long, value_name = "TIME|DURATION", value_parser = Expiry::parse)]
    pub expires: Option<Expiry>,
    /// The file, and the form of the result.
    #[command(flatten)]
    pub file: KeyFileConfig,
}

/// The settings of `keys revoke`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeysRevokeConfig {
    /// The name or the id of the key, as `keys list` shows them
    #[arg(value_name = "KEY", value_parser = values::text)]
    pub key: String,
    /// The file, and the form of the result.
    #[command(flatten)]
    pub file: KeyFileConfig,
}

/// The end of a key's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The key is refused from this time on, in milliseconds since 1970.
    At(i64),
    /// The key is refused after this time.
    After(Duration),
}

impl Expiry {
    fn parse(text: &str) -> Result<Expiry, String> {
        if let Ok(time) = values::time(text) {
            return Ok(Expiry::At(time));
        }
        values::interval(text).map(Expiry::After).map_err(|_| {
            "is neither a time nor a duration; give for instance 2027-01-01T00:00:00Z or 90days".to_owned()
        })
    }
}
