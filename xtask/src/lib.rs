//! Chores of the project: fixtures that are generated, and whether they still are what they say.

pub mod captioner;
pub mod checks;
mod corpus;
mod fixtures;
mod grammar;
mod pairs;
pub mod synthetic;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
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
    /// Compare our numbers with those recorded from the original models
    Parity {
        /// Folders of cases, at any depth
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Compare our numbers with those of nibabel, nilearn, Pillow and the metrics packages
    Oracles {
        /// Folders of cases, at any depth
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
}

/// Does the chore that the command line names.
pub fn run() -> anyhow::Result<()> {
    let root = repository();
    match Args::parse().chore {
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
        Chore::Parity { folders } => checks::run(checks::Family::Parity, &folders),
        Chore::Oracles { folders } => checks::run(checks::Family::Oracles, &folders),
        Chore::Fixtures { check: true } => {
            synthetic::check(&root.join(synthetic::FOLDER))?;
            fixtures::check(&root, &fixtures::all(&root)?)
        }
    }
}

/// The folder that holds `Cargo.lock`, from where this program was built.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of it").to_path_buf()
}
