//! `cargo xtask extra`: checks that need more than Rust.
//!
//! Each check lists what it needs. Where that is missing the check is reported as `not run`, which
//! is no failure; only a check that ran and failed fails the command.

mod bids;
mod book;
mod deny;
mod environment;
mod need;
mod notebooks;
mod pages;
mod scripts;
mod slurm;
mod tensorboard;

use std::process::ExitCode;

use environment::Environment;
use need::Need;

/// Every check, in the order in which they run.
const CHECKS: &[Check] = &[
    book::CHECK,
    deny::CHECK,
    notebooks::CHECK,
    scripts::CHECK,
    bids::CHECK,
    slurm::CHECK,
    tensorboard::CHECK,
    pages::CHECK,
];

/// One check: its name, what it needs and how it is run.
struct Check {
    /// What the command line calls it.
    name: &'static str,
    /// All of these must be there.
    needs: &'static [Need],
    /// Runs it; an error says what failed.
    run: fn(&Environment) -> Result<(), String>,
}

/// How a check ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Run,
    NotRun { needs: String },
    Failed(String),
}

impl Check {
    fn outcome(&self, environment: &Environment) -> Outcome {
        if let Some(needs) = self.needs.iter().find_map(|need| need.missing(environment)) {
            return Outcome::NotRun { needs };
        }
        match (self.run)(environment) {
            Ok(()) => Outcome::Run,
            Err(problem) => Outcome::Failed(problem),
        }
    }
}

/// Runs the checks of these names, or every check; one line for each.
///
/// Exit 1 where a check ran and failed, 2 where no check has one of the names.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the lines are what it is for")]
pub fn extra(names: &[String]) -> ExitCode {
    let checks = match selected(CHECKS, names) {
        Ok(checks) => checks,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let environment = match Environment::new() {
        Ok(environment) => environment,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for check in checks {
        match check.outcome(&environment) {
            Outcome::Run => println!("{}  run", check.name),
            Outcome::NotRun { needs } => println!("{}  not run: needs {needs}", check.name),
            Outcome::Failed(problem) => {
                failed = true;
                println!("{}  failed", check.name);
                eprintln!("error: {}: {}", check.name, problem.trim_end());
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

fn selected<'a>(checks: &'a [Check], names: &[String]) -> Result<Vec<&'a Check>, String> {
    if let Some(name) = names.iter().find(|name| checks.iter().all(|check| check.name != **name)) {
        let known: Vec<&str> = checks.iter().map(|check| check.name).collect();
        return Err(format!("there is no check {name}, expected one of {}", known.join(", ")));
    }
    let wanted = |check: &&Check| names.is_empty() || names.iter().any(|name| name == check.name);
    Ok(checks.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Need = Need::Command("a-command-that-is-nowhere");

    fn fails(_: &Environment) -> Result<(), String> {
        Err("it failed".to_owned())
    }

    fn outcome(needs: &'static [Need], run: fn(&Environment) -> Result<(), String>) -> Outcome {
        Check { name: "fake", needs, run }.outcome(&Environment::new().unwrap())
    }

    #[test]
    fn a_check_is_not_run_without_what_it_needs() {
        let needs = "a-command-that-is-nowhere".to_owned();
        assert_eq!(outcome(&[ABSENT], fails), Outcome::NotRun { needs: needs.clone() });
        assert_eq!(outcome(&[Need::Command("sh"), ABSENT], fails), Outcome::NotRun { needs });
    }

    #[test]
    fn a_check_that_ran_passes_or_fails() {
        assert_eq!(outcome(&[Need::Command("sh")], |_| Ok(())), Outcome::Run);
        assert_eq!(outcome(&[], fails), Outcome::Failed("it failed".to_owned()));
    }

    #[test]
    fn checks_are_selected_by_name() {
        let check = |name| Check { name, needs: &[], run: fails };
        let checks = [check("book"), check("notebooks")];
        let names = |names: &[&str]| -> Result<Vec<&str>, String> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Ok(selected(&checks, &names)?.iter().map(|check| check.name).collect())
        };
        assert_eq!(names(&[]).unwrap(), ["book", "notebooks"]);
        assert_eq!(names(&["notebooks"]).unwrap(), ["notebooks"]);
        let problem = names(&["notebook"]).unwrap_err();
        assert_eq!(problem, "there is no check notebook, expected one of book, notebooks");
    }
}
