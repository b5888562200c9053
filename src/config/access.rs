//! The settings of who may read.

use std::path::PathBuf;

use clap::Args;

use super::values;
use crate::credentials::{ApiKeys, BearerTokens};
use crate::origins::OriginPattern;

/// The settings of who may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AccessConfig {
    /// The keys, and who may read what with them; read again when the file changes. `optview keys` makes and revokes them
    #[arg(long = "api-keys", id = "api_keys", value_name = "FILE", value_parser = values::file)]
    pub api_keys_file: Option<PathBuf>,
    /// The keys in that file at the start; `None` if there is no file.
    #[arg(skip)]
    pub api_keys: Option<ApiKeys>,
    /// Take bearer tokens (JWT) that are signed by a key in this file (a JSON Web Key Set); read again when the file changes
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub jwt_jwks: Option<PathBuf>,
    /// The issuer (`iss`) that tokens must name; needed with --jwt-jwks
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub jwt_issuer: Option<String>,
    /// The audience (`aud`) that tokens must name; needed with --jwt-jwks
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub jwt_audience: Option<String>,
    /// The claim of tokens with the organizations whose views they show: the id of one, or a list
    #[arg(long, value_name = "NAME", default_value = "organizations", value_parser = values::text)]
    pub jwt_organizations_claim: String,
    /// The keys in that file at the start; `None` if there is no file.
    #[arg(skip)]
    pub bearer_tokens: Option<BearerTokens>,
    /// Let everybody who reaches --listen read everything: needed where others than this machine reach it, and neither keys nor
    /// tokens are asked for
    #[arg(long)]
    pub open_access: bool,
    /// The origins whose pages may read. (An address in a comment must be a link, and help has none.)
    #[arg(
        help = "An origin whose pages may read, such as https://app.example.com or https://*.example.com, or * for all; may be \
        repeated (in the variable: one a line)"
    )]
    #[arg(id = "cors_origin", long = "cors-origin", value_name = "ORIGIN", action = clap::ArgAction::Append)]
    #[arg(value_parser = OriginPattern::parse)]
    pub cors_origins: Vec<OriginPattern>,
}
