//! `submit slurm`.
use std::path::Path;

use anyhow::{Context as _, Result};
use pipeline::{Loaded, Plan, Site, Submission, SubmitOptions, counted};

use super::Done;
use crate::{args::SlurmArgs, print};

pub(super) fn slurm(args: &SlurmArgs, verbose: bool) -> Result<Done> {
    let site = args.site.as_deref().map(Site::read).transpose()?.unwrap_or_default();
    let plan = Plan::new(Loaded::read(&args.pipeline, &args.set)?)
        .inspect_err(|error| super::pipeline::name_excluded(error.excluded(), verbose))?;
    let plan = super::pipeline::hashed(plan, args.hash_ids.as_deref())?;
    let options = SubmitOptions {
        site,
        run: run_words(args)?,
        only_unsettled: args.retry_failed,
        dry: args.print,
    };
    let submission = pipeline::submit_slurm(&plan, &options)?;
    show(args, &submission)?;
    Ok(Done::All)
}

/// `run PIPELINE --set …`, from any folder.
fn run_words(args: &SlurmArgs) -> Result<Vec<String>> {
    let whole = |path: &Path| -> Result<String> {
        let path = std::path::absolute(path).context("cannot find the current folder")?;
        Ok(path.display().to_string())
    };
    let mut words = vec!["run".to_owned(), whole(&args.pipeline)?];
    words.extend(args.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    if let Some(salt) = &args.hash_ids {
        words.extend(["--hash-ids".to_owned(), whole(salt)?]);
    }
    Ok(words)
}

fn show(args: &SlurmArgs, submission: &Submission) -> Result<()> {
    let Submission { folder, n_recordings, n_tasks, scripts, commands, jobs } = submission;
    let recordings = counted(*n_recordings, "recording");
    print::note(&format!("{recordings} in {}", counted(*n_tasks, "task")));
    print::note(&format!("scripts, work list and logs: {}", folder.display()));
    if args.json {
        return print::json(&serde_json::to_value(submission)?);
    }
    if !args.print {
        let (gather, arrays) = jobs.split_last().context("nothing was submitted")?;
        return print::out(&format!("array {}\ngather {gather}", arrays.join(" ")));
    }
    for script in scripts {
        let text = std::fs::read_to_string(script);
        let text = text.with_context(|| format!("cannot read {}", script.display()))?;
        print::out(&format!("# {}\n{text}", script.display()))?;
    }
    print::out(&format!("# to submit:\n{}", commands.join("\n")))
}
