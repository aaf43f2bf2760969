//! The licence texts of everything that is linked into the program, for whoever passes it on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId, TargetKind};

/// How the names of licence files begin, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];

/// Packages whose licence is not at their top, and where it is.
const ELSEWHERE: [(&str, &str); 1] = [("hdf5-metno-src", "ext/hdf5/LICENSE")];

/// All linked packages with their licences, then each text once, under the packages that have it.
///
/// # Errors
/// Where a linked package states no licence and has no text of one, or cargo cannot say what is linked.
pub fn texts(root: &Path) -> Result<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", &host()?].map(str::to_owned))
        .exec()?;
    let mut page =
        "Packages that are linked into neuroflamingo, with their licences.\n\n".to_owned();
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked(&metadata)? {
        let name = format!("{} {}", package.name, package.version);
        let texts = texts_of(package)?;
        let licence = match &package.license {
            Some(licence) => licence,
            None => "see its text",
        };
        ensure!(package.license.is_some() || !texts.is_empty(), "{name} has no licence");
        writeln!(page, "{name}: {licence}")?;
        for text in texts {
            by_text.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in by_text {
        write!(page, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), text.trim_end())?;
    }
    let scripts = root.join("crates/pages/assets/LICENSES.txt");
    let scripts = fs::read_to_string(&scripts).with_context(|| scripts.display().to_string())?;
    write!(page, "\n{}\n{scripts}", "=".repeat(80))?;
    Ok(page)
}

/// Prints them.
pub(crate) fn print(root: &Path) -> Result<()> {
    Ok(io::stdout().write_all(texts(root)?.as_bytes())?)
}

/// The platform that the program is built for.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("rustc cannot be run")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// The packages of others whose code ends up in the program, by name: no build scripts and no macros.
fn linked(metadata: &Metadata) -> Result<Vec<&Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolves nothing")?;
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let cli = metadata.packages.iter().find(|it| it.name.as_str() == "cli");
    let mut waiting = vec![&cli.context("there is no package cli")?.id];
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(id) = waiting.pop() {
        let package = &metadata[id];
        let is_macro = package.targets.iter().any(|it| it.kind.contains(&TargetKind::ProcMacro));
        if is_macro || !seen.insert(id) {
            continue;
        }
        if package.source.is_some() {
            found.push(package);
        }
        let is_linked = |kinds: &[cargo_metadata::DepKindInfo]| {
            kinds.iter().any(|it| it.kind == DependencyKind::Normal)
        };
        let needs = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        waiting.extend(needs.filter(|it| is_linked(&it.dep_kinds)).map(|it| &it.pkg));
    }
    found.sort_by_key(|package| (package.name.to_string(), package.version.clone()));
    Ok(found)
}

/// The texts of the licence files of a package.
fn texts_of(package: &Package) -> Result<Vec<String>> {
    let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            paths.push(path);
        }
    }
    let elsewhere = ELSEWHERE.iter().filter(|(name, _)| *name == package.name.as_str());
    paths.extend(elsewhere.map(|(_, path)| folder.join(path).into_std_path_buf()));
    paths.sort();
    let read =
        |path: &std::path::PathBuf| fs::read(path).with_context(|| path.display().to_string());
    let texts = paths.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(texts.iter().map(|text| String::from_utf8_lossy(text).replace("\r\n", "\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_packages_have_licences_and_macros_are_not_linked() {
        let page = texts(&crate::repository()).unwrap();
        let listed: Vec<&str> = page.lines().skip(2).take_while(|line| !line.is_empty()).collect();
        assert!(listed.len() > 100, "{listed:?}");
        for package in
            ["candle-core 0.11.1: MIT OR Apache-2.0", "hdf5-metno-src 0.10.4: see its text"]
        {
            assert!(listed.contains(&package), "{package}: {listed:?}");
        }
        assert!(!listed.iter().any(|line| line.starts_with("serde_derive ")), "{listed:?}");
        assert!(!listed.iter().any(|line| line.starts_with("insta ")), "a test's dependency");
        assert!(page.contains("The HDF Group"), "HDF5's licence");
    }
}
