//! The reference of the commands: what `--help` prints, command by command.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// The call as a BIDS-App, whose options are its own.
const BIDS_APP: [&str; 3] = ["BIDS_DIR", "OUT_DIR", "participant"];

/// The page.
pub(super) fn page(program: &Path) -> Result<String> {
    let mut page =
        "# Commands\n\nWhat `--help` prints. Written by `cargo xtask docs --write`.\n".to_owned();
    add(&mut page, program, &[])?;
    let help = help(program, &BIDS_APP)?;
    section(&mut page, "neuroflamingo BIDS_DIR OUT_DIR LEVEL", &help);
    Ok(page)
}

/// Adds the help of the command that `words` name, and of all commands below it.
fn add(page: &mut String, program: &Path, words: &[&str]) -> Result<()> {
    let help = help(program, words)?;
    section(page, &[&["neuroflamingo"], words].concat().join(" "), &help);
    for command in subcommands(&help) {
        add(page, program, &[words, &[command]].concat())?;
    }
    Ok(())
}

fn section(page: &mut String, name: &str, help: &str) {
    _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
}

fn help(program: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(words)
        .arg("--help")
        // the width of a terminal that nobody looks at: 100 columns
        .env_remove("COLUMNS")
        .output()
        .with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{words:?} --help: {}", output.status);
    String::from_utf8(output.stdout).context("the help is UTF-8")
}

/// The names under `Commands:`, without `help`.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    // descriptions that go on in the next line stand further to the right
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_commands_are_read_from_help() {
        let help = "About\n\nUsage: x\n\nCommands:\n  run     Run a\n          file\n  scan    Look\n  \
                    help    Print\n\nOptions:\n  -h, --help\n";
        assert_eq!(subcommands(help), ["run", "scan"]);
        assert!(subcommands("Usage: x\n\nOptions:\n  -h\n").is_empty());
    }
}
