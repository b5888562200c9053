//! The tools that look at a store.

use crate::cli::options;

use super::layers::Layers;
use super::{Config, ToolConfig, kafka, log, values};

pub fn tool(layers: &mut Layers<'_>) -> Option<ToolConfig> {
    let data_dir = layers.value(&options::STORE_DIR, values::directory);
    let json = layers.value(&options::JSON, values::switch);
    // What a tool finds is on stdout; its log is for when something is wrong.
    let log = log(layers, "warn");
    Some(ToolConfig { data_dir: data_dir?, json: json?, log: log? })
}

pub fn verify(layers: &mut Layers<'_>) -> Option<Config> {
    let kafka = kafka::settings_if_given(layers);
    Some(Config::Verify(tool(layers)?, kafka))
}

pub fn explain(layers: &mut Layers<'_>) -> Option<Config> {
    let id = layers.value(&options::ID, values::text);
    let tool = tool(layers);
    Some(Config::Explain(tool?, id?))
}
