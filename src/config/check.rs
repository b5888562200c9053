//! The command `check`.

use clap::Args;

use super::serve::ServeConfig;
use super::values;

/// The settings of `check`: those of the deployment that it checks, and its own.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CheckConfig {
    /// The settings that `serve` has, or is to have.
    #[command(flatten)]
    pub serve: ServeConfig,
    /// Also try so many of the newest records of each topic: how many are understood, in which encodings, with which oddities
    #[arg(long, value_name = "COUNT", default_value = "0", value_parser = values::at_least(0_usize))]
    pub sample: usize,
    /// Print the result as JSON, for programs
    #[arg(long)]
    pub json: bool,
}
