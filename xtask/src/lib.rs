//! Chores of the project: fixtures that are generated, and whether they still are what they say.

pub mod captioner;
pub mod checks;
pub mod cohort;
mod compare;
pub mod containers;
mod corpus;
pub mod covering;
pub mod docs;
pub mod encoders;
mod fixtures;
pub mod gguf;
mod grammar;
mod kills;
pub mod licences;
mod pairs;
mod precision;
pub mod published;
mod random_model;
mod slurm;
pub mod synthetic;
mod trained;
mod verdict;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use nn::{Device, DeviceName};

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Say what a build needs beside Rust, and fetch what is missing
    Setup,
    /// Setup, then `cargo test --workspace` with the arguments that follow
    Test {
        /// For `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the checks that need more than Rust; a check without what it needs is not run
    Extra {
        /// Names of checks; absent: every check
        names: Vec<String>,
    },
    /// Write the paired reports of fixtures/haxby2001
    Pairs,
    /// Write the pretraining text of fixtures/tiny-lm
    Corpus,
    /// Write fixtures/tiny-captioner, a package of random weights that writes under pictures
    Captioner,
    /// Write fixtures/synthetic, 24 people who never were
    Synthetic,
    /// Write every generated fixture, or only compare
    Fixtures {
        /// Change nothing; exit 1 when a committed file differs from a regenerated one
        #[arg(long)]
        check: bool,
    },
    /// What keeping a language model's weights in fewer bits costs, over a text
    Precision {
        /// A .gguf file, or a Hugging Face folder
        model: PathBuf,
        /// The text; absent: this project's licence
        #[arg(long)]
        text: Option<PathBuf>,
        /// Tokens of it
        #[arg(long, default_value = "1024")]
        n_tokens: usize,
    },
    /// Write a package of a real model's size with random weights, to measure loading and writing
    RandomModel {
        /// openflamingo-3b, or tiny to try it
        #[arg(long)]
        shape: random_model::Size,
        /// f32, bf16 or f16
        #[arg(long)]
        dtype: nn::Precision,
        /// The package's folder
        folder: PathBuf,
    },
    /// Run pipelines by two programs, and print in what their outputs differ; exit 1 where they do
    Compare {
        /// The program that is trusted
        old: PathBuf,
        /// The program that is looked at
        new: PathBuf,
        /// Names of pipelines; absent: encode-cohort, swap-encoders, caption and quickstart-short
        names: Vec<String>,
        /// Threads of both
        #[arg(long, default_value = "1")]
        threads: usize,
    },
    /// Write a cohort of small recordings with a pipeline, to try the engine with
    Cohort {
        /// How many recordings
        n: usize,
        /// Where to
        folder: PathBuf,
        /// Break three in a hundred, in twelve ways
        #[arg(long)]
        broken: bool,
    },
    /// Print the licences of all packages that are linked into the program, with their texts
    Licences,
    /// Kill, stop and damage runs of a small pipeline at random moments, and compare what they publish
    Kills {
        /// Rounds, each of several kills and resumes
        n: usize,
        /// Decides the moments
        #[arg(long, default_value = "1")]
        seed: u64,
    },
    /// Train models that see their scans, that do not, and whose site says the label, and compare their verdicts
    /// with what they must be; a minute or two each
    Trained {
        /// Where to; the runs stay there
        folder: PathBuf,
        /// Models of each kind
        #[arg(long, default_value = "3")]
        seeds: u64,
    },
    /// Run the synthetic cohort as a job array of Slurm on this machine, disturb it, and compare what it
    /// publishes with a local run
    Slurm,
    /// Write the definitions of the container images, configs/containers
    Containers,
    /// How often the verdict is wrong, over simulated models that see or do not see the scan
    Verdict {
        /// Models a design
        #[arg(long, default_value = "1000")]
        models: u64,
        /// Designs whose name begins so, such as B or H06; absent: all, and intervals of accuracies
        #[arg(long, default_value = "")]
        only: String,
        /// Seed of each design's first model
        #[arg(long, default_value = "0")]
        first_seed: u64,
    },
    /// Compare our numbers with those recorded from the original models
    Parity {
        /// Folders of cases, at any depth
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// Where our numbers are made: cpu, cpu-composed, cuda or cuda:NUMBER
        #[arg(long, default_value = "cpu")]
        device: DeviceName,
    },
    /// Check and run every pair of choices of small pipelines; exit 1 where both disagree
    Covering {
        /// The program; absent: the one beside this, built before
        #[arg(long)]
        program: Option<PathBuf>,
    },
    /// Build the book of docs/ with mdBook into target/book, and follow its links
    Docs {
        /// Write the pages that are generated from `--help` and the JSON Schemas, and build nothing
        #[arg(long)]
        write: bool,
        /// The program mdbook
        #[arg(long, default_value = "mdbook")]
        mdbook: PathBuf,
        /// The program; absent: the one beside this, built before
        #[arg(long)]
        program: Option<PathBuf>,
    },
    /// Compare our numbers with those of nibabel, nilearn, Pillow and the metrics packages
    Oracles {
        /// Folders of cases, at any depth
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
}

/// Does the chore that the command line names.
pub fn run() -> anyhow::Result<ExitCode> {
    let root = repository();
    match Args::parse().chore {
        Chore::Setup => return Ok(setup::setup()),
        Chore::Test { arguments } => return Ok(setup::test(&arguments)),
        Chore::Extra { names } => return Ok(setup::extra(&names)),
        Chore::Pairs => fixtures::write(&root, &[pairs::file(&root)?]),
        Chore::Corpus => fixtures::write(&root, &[corpus::file(&root)?]),
        Chore::Captioner => captioner::package(
            &root.join("fixtures/tiny-lm/tokenizer.json"),
            &root.join(captioner::FOLDER),
        ),
        Chore::Synthetic => synthetic::write(&root.join(synthetic::FOLDER)),
        Chore::Fixtures { check: false } => {
            synthetic::write(&root.join(synthetic::FOLDER))?;
            fixtures::write(&root, &fixtures::all(&root)?)
        }
        Chore::Parity { folders, device } => {
            checks::run(checks::Family::Parity, &folders, &device.open()?)
        }
        Chore::Cohort { n, folder, broken } => cohort::write(&root, &folder, n, broken),
        Chore::Licences => licences::print(&root),
        Chore::Kills { n, seed } => kills::run(&root, n, seed),
        Chore::Trained { folder, seeds } => trained::run(&root, &folder, seeds),
        Chore::Slurm => slurm::run(&root),
        Chore::Containers => containers::write(&root),
        Chore::Compare { old, new, names, threads } => {
            compare::run(&root, &old, &new, &names, threads)
        }
        Chore::Precision { model, text, n_tokens } => {
            let text = text.unwrap_or_else(|| root.join("LICENSE"));
            precision::run(&model, &text, n_tokens)
        }
        Chore::RandomModel { shape, dtype, folder } => {
            random_model::write(&root, shape, dtype, &folder)
        }
        Chore::Verdict { models, only, first_seed } => verdict::run(models, &only, first_seed),
        Chore::Covering { program } => covering::run(&program_or_beside(program)?),
        Chore::Docs { write: true, program, .. } => {
            docs::write(&root, &program_or_beside(program)?)
        }
        Chore::Docs { write: false, mdbook, program } => {
            docs::build(&root, &program_or_beside(program)?, &mdbook)
        }
        Chore::Oracles { folders } => {
            checks::run(checks::Family::Oracles, &folders, &Device::cpu())
        }
        Chore::Fixtures { check: true } => {
            synthetic::check(&root.join(synthetic::FOLDER))?;
            fixtures::check(&root, &fixtures::all(&root)?)
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The program of this path, or the one that lies beside this one.
fn program_or_beside(program: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("neuroflamingo"));
    program.map_or_else(beside, Ok)
}

/// The folder that holds `Cargo.lock`, from where this program was built.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of it").to_path_buf()
}
