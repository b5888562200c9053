//! The principal: whom a credential stands for.

/// The owner of a credential, with the organizations whose views the owner may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name of the API key, the start of its hash if it has no name, or the subject of the token.
    pub id: String,
    /// The address of the owner, if the credential has one.
    pub email: Option<String>,
    /// One at least, each once.
    pub organizations: Vec<String>,
}
