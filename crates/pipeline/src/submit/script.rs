//! The scripts of an array and of its gather job, as text that may be edited.
use std::path::Path;

use super::{Site, site::Resources};

/// Requeues of a job that was stopped after saving.
const MOST_REQUEUES: usize = 5;

/// Seconds before the time limit at which a job is told to stop, where the site does not say.
const WARNING_S: usize = 180;

/// What both scripts are made of.
pub(super) struct Job<'a> {
    pub(super) site: &'a Site,
    /// Name of the pipeline.
    pub(super) pipeline: &'a str,
    /// Folder of the submission.
    pub(super) folder: &'a Path,
    /// The program and the words of its command `run`, as the shell reads them.
    pub(super) command: &'a str,
}

impl Job<'_> {
    /// The script of a task. Its argument is the number of its array's first task.
    pub(super) fn task(&self) -> String {
        let list = quoted(&self.folder.join("work_list.tsv").display().to_string());
        let intro = format!(
            "# A task of pipeline {}: its recordings of work_list.tsv go through the stages that work\n\
             # recording by recording. The argument is the number of the array's first task.\n",
            self.pipeline
        );
        let command = format!("{} --work-list {list} --task \"$task\"", self.command);
        let task = "task=$((${1:?the number of the first task} + SLURM_ARRAY_TASK_ID))\n";
        let job = "\"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"";
        self.script(&intro, &self.site.task, "%x-%A_%a.out", task, &command, job)
    }

    /// The script of the job that comes after all tasks.
    pub(super) fn gather(&self) -> String {
        let intro = format!(
            "# The rest of pipeline {}: the ordinary run, which finds what the tasks have stored.\n",
            self.pipeline
        );
        let job = "\"$SLURM_JOB_ID\"";
        self.script(&intro, self.site.gather(), "%x-gather-%j.out", "", self.command, job)
    }

    fn script(
        &self,
        intro: &str,
        resources: &Resources,
        log: &str,
        task: &str,
        command: &str,
        job: &str,
    ) -> String {
        let log = self.folder.join("logs").display().to_string().replace('%', "%%") + "/" + log;
        let log = if log.contains(' ') { format!("\"{log}\"") } else { log };
        let warning_s = self.site.warning_s.map_or(WARNING_S, Into::into);
        let asked = [
            ("job-name", Some(self.pipeline.to_owned())),
            ("account", self.site.account.clone()),
            ("partition", resources.partition.clone()),
            ("time", resources.time.clone()),
            ("mem", resources.memory.clone()),
            ("cpus-per-task", resources.cores.map(|it| it.to_string())),
            ("gres", resources.gres.clone()),
            ("output", Some(log)),
            ("signal", Some(format!("B:USR1@{warning_s}"))),
        ];
        let asked: String = asked
            .into_iter()
            .filter_map(|(name, value)| Some(format!("#SBATCH --{name}={}\n", value?)))
            .collect();
        let preamble = self.site.preamble.as_deref().map_or("", str::trim_end);
        let preamble = if preamble.is_empty() { String::new() } else { format!("{preamble}\n\n") };
        format!(
            r#"#!/bin/bash
{intro}{asked}#SBATCH --requeue
#SBATCH --open-mode=append

# Slurm tells this shell alone that the time is nearly over: pass it on, and wait until all is saved
program=
signalled=no
forward() {{
    signalled=yes
    [ -z "$program" ] || kill -s "$1" "$program" 2>/dev/null
}}
trap 'forward {SIGNAL}' USR1
trap 'forward TERM' TERM

{preamble}# as many threads as cores were given
export RAYON_NUM_THREADS="${{RAYON_NUM_THREADS:-${{SLURM_CPUS_PER_TASK:-1}}}}"
{task}
code=75
if [ "$signalled" = no ]; then
    {command} &
    program=$!
    while
        signalled=no
        wait "$program"
        code=$?
        [ "$signalled" = yes ]
    do :; done
fi

# stopped after saving: go on later, at most {MOST_REQUEUES} times
if [ "$code" -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_REQUEUES} ]; then
    scontrol requeue {job}
fi
exit "$code"
"#
        )
    }
}

/// What the program is sent when Slurm warns.
const SIGNAL: &str = "USR1";

/// A word as the shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_as_they_are() {
        for word in ["a b", "it's", "", "$HOME", "a=b", "*", "ü"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
    }
}
