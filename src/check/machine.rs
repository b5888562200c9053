//! The addresses, the open files and the threads of a process that would serve here: what is there, and the findings, which are pure.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::finding::{Check, Finding};
use crate::process::{self, FileBudget, TooFewFiles};
use crate::store;

/// The facts about the machine. An error is the operating system's, in words.
#[derive(Clone, Debug)]
pub struct MachineFacts {
    /// Each address with the option that gives it.
    pub addresses: Vec<(&'static str, SocketAddr, AddressState)>,
    /// The division of the files that the process may have open.
    pub files: Result<FileBudget, TooFewFiles>,
    /// The error if the process may not start the threads that `serve` takes.
    pub threads: Result<(), String>,
}

/// The state of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// It can be listened on.
    Free,
    /// Another process, or another address of it, has it.
    Taken,
    /// The system refuses it, for this reason.
    Refused(String),
}

/// Looks at the machine. Each address is listened on for a moment.
pub fn look(addresses: &[(&'static str, SocketAddr)], max_connections: usize, data_dir: &Path) -> MachineFacts {
    MachineFacts {
        addresses: addresses.iter().map(|&(option, address)| (option, address, state_of(address))).collect(),
        files: FileBudget::new(process::open_file_limit(), max_connections),
        threads: store::check_threads_to_serve(data_dir).map_err(|error| error.to_string()),
    }
}

fn state_of(address: SocketAddr) -> AddressState {
    match TcpListener::bind(address) {
        Ok(_) => AddressState::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => AddressState::Taken,
        Err(error) => AddressState::Refused(error.to_string()),
    }
}

/// Returns the findings. `is_served`: a process serves this data directory, and has its addresses therefore.
pub fn findings(facts: &MachineFacts, is_served: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts
        .addresses
        .iter()
        .map(|(option, address, state)| of_address(option, state, is_served).of(address.to_string()))
        .collect();
    findings.push(match &facts.files {
        Err(error) => Finding::wrong(
            Check::OpenFiles,
            error.to_string(),
            "Raise the limit of open files for the user or the container",
        ),
        Ok(budget) => match budget.warning() {
            Some(warning) => {
                Finding::doubtful(Check::OpenFiles, warning, "Fewer connections than wanted are taken until then")
            }
            None => Finding::right(
                Check::OpenFiles,
                format!("{} files suffice for {} connections", budget.limit, budget.connections),
            ),
        },
    });
    findings.push(match &facts.threads {
        Ok(()) => Finding::right(Check::Threads, "as many can be started as `serve` takes"),
        Err(why) => Finding::wrong(
            Check::Threads,
            why.clone(),
            "Raise the limit of threads (ulimit -u, TasksMax=, the container's pids limit)",
        ),
    });
    findings
}

fn of_address(option: &str, state: &AddressState, is_served: bool) -> Finding {
    match state {
        AddressState::Free => Finding::right(Check::Address, format!("it is free for {option}")),
        AddressState::Taken if is_served => Finding::right(
            Check::Address,
            format!("it is taken for {option}, as it must be while a process serves this data directory"),
        ),
        AddressState::Taken => Finding::wrong(
            Check::Address,
            format!("another process listens on it, which {option} gives"),
            format!("End that process, or give another {option}"),
        ),
        AddressState::Refused(why) => {
            Finding::wrong(Check::Address, format!("it cannot be listened on: {why}"), format!("Correct {option}"))
        }
    }
}

#[cfg(test)]
mod tests;
