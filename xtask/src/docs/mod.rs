//! `docs/` as a book: its generated pages, its build by mdBook and the links of what was built.

mod commands;
mod links;
mod schema;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// Where mdBook writes, from the root; `docs/book.toml` says the same.
const BOOK: &str = "target/book";

/// The generated pages of `docs/` by name, from the program's own `--help` and JSON Schemas.
pub fn generated(program: &Path) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("reference-commands.md", commands::page(program)?),
        ("reference-pipelines.md", schema::page(program)?),
    ])
}

/// Writes the generated pages.
pub(crate) fn write(root: &Path, program: &Path) -> Result<()> {
    for (name, text) in generated(program)? {
        let path = root.join("docs").join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Compares the generated pages, builds the book and follows its links. Without mdBook the book is
/// not built, and one line says so.
#[expect(clippy::print_stdout, reason = "the line is what it is for")]
pub(crate) fn build(root: &Path, program: &Path, mdbook: &Path) -> Result<()> {
    for (name, text) in generated(program)? {
        let path = root.join("docs").join(name);
        let found = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(found == text, "docs/{name} is out of date: run `cargo xtask docs --write`");
    }
    let book: PathBuf = root.join(BOOK);
    let built = Command::new(mdbook).arg("build").arg(root.join("docs")).output();
    let built = match built {
        Ok(built) => built,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("book  not run: needs mdbook (cargo install mdbook --version 0.5.4)");
            return Ok(());
        }
        Err(error) => bail!("{}: {error}", mdbook.display()),
    };
    ensure!(built.status.success(), "mdbook: {}", String::from_utf8_lossy(&built.stderr));
    let broken = links::broken(&book)?;
    ensure!(broken.is_empty(), "links of the book that lead nowhere:\n{}", broken.join("\n"));
    println!("{BOOK}/index.html");
    Ok(())
}
