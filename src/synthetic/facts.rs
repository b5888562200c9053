//! The contents of events: names, objectives and metrics, with the odd keys, tiny numbers and whole numbers that
//! occur in practice.

use std::borrow::Cow;

use crate::domain::event::JsonObject;

use super::random::Random;

const GOALS: [&str; 6] =
    ["Fast charge", "Cycle life", "Energy density", "Low temperature", "Plating margin", "Formation"];
const CELLS: [&str; 5] = ["LG M50", "Samsung 30Q", "Molicel P45B", "Kokam \"SLPB\" 75106100", "Pouch 5 Ah – β"];
const MODELS: [&str; 4] = ["SPM", "SPMe", "DFN", "MSMR"];
const KINDS: [&str; 3] = ["optimize", "optimize", "datafit"];
const PEOPLE: [&str; 5] = ["ada", "grace", "emmy", "lise", "chien-shiung"];
const FAILURES: [(&str, &str); 5] = [
    ("SOLVER_ERROR", "solver did not converge: residual 3.2e-04 after 500 iterations"),
    ("EXECUTION_TIMEOUT", "no result after 3600 s"),
    ("CONFIGURATION_ERROR", "parameter \"Current [A]\" has no bounds"),
    ("SUBMISSION_FAILED", "no worker took it"),
    ("INTERNAL_ERROR", "worker lost"),
];

pub fn name(random: &mut Random) -> String {
    format!("{} {}", random.choose(&GOALS), random.below(1000))
}

pub fn cell(random: &mut Random) -> &'static str {
    random.choose(&CELLS)
}

pub fn model(random: &mut Random) -> &'static str {
    random.choose(&MODELS)
}

pub fn kind(random: &mut Random) -> &'static str {
    random.choose(&KINDS)
}

pub fn email(random: &mut Random) -> String {
    format!("{}@example.com", random.choose(&PEOPLE))
}

pub fn failure(random: &mut Random) -> (&'static str, &'static str) {
    FAILURES[random.index(FAILURES.len())]
}

pub fn objectives(random: &mut Random) -> JsonObject<'static> {
    let goal = random.choose(&GOALS);
    let weight = 1 + random.below(5);
    let bound = random.fraction(0, 1);
    let temperature = 273 + random.below(60);
    object(format!(
        r#"{{"{goal}":{{"type":"DesignObjective","weight":{weight},"tolerance":1e-14,"options":{{"Temperature [K]":{temperature},"solver":"IDAKLU","rescale":true}},"constraints":{{"Minimum anode potential [V]":{{"lower":{bound:?},"upper":null}}}}}}}}"#
    ))
}

pub fn metrics(random: &mut Random) -> JsonObject<'static> {
    let (time, potential) = (random.fraction(600, 7200), random.fraction(0, 1));
    let (cycles, loss) = (random.below(2000), tiny(random));
    object(format!(
        r#"{{"Charge time [s]":{time:?},"Minimum anode potential [V]":{potential:?},"Cycles":{cycles},"LLI [mol]":{loss}}}"#
    ))
}

pub fn parameter_values(random: &mut Random) -> JsonObject<'static> {
    object(format!(r#"{{"D [m2.s-1]":{}}}"#, tiny(random)))
}

/// Returns a number like a diffusivity as JSON, in its shortest form: the last digit is never a zero.
fn tiny(random: &mut Random) -> String {
    format!("{}.{}{}e-14", 1 + random.below(9), random.below(10), 1 + random.below(9))
}

fn object(text: String) -> JsonObject<'static> {
    JsonObject(Cow::Owned(text))
}
