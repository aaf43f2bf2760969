//! One folder of a dataset, listed once.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::entity::{BidsName, Entities, Entity, RECORDING};

/// Names in a folder, sorted; those that are BIDS names taken apart.
pub(crate) struct Folder {
    path: PathBuf,
    names: Vec<(String, Option<BidsName>)>,
    /// Which of them are sidecars.
    sidecars: Vec<usize>,
}

impl Folder {
    pub(crate) fn list(path: &Path) -> io::Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            // what is not text is no BIDS name; what begins with a point is hidden: `._…` of macOS
            if let Ok(name) = entry?.file_name().into_string()
                && !name.starts_with('.')
            {
                let parsed = BidsName::parse(&name);
                names.push((name, parsed));
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let is_sidecar = |name: &BidsName| name.extension == ".json";
        let numbered = names.iter().enumerate();
        let sidecars = numbered.filter(|(_, (_, name))| name.as_ref().is_some_and(is_sidecar));
        let sidecars = sidecars.map(|(position, _)| position).collect();
        Ok(Self { path: path.to_path_buf(), names, sidecars })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn parsed(&self) -> impl Iterator<Item = (&str, &BidsName)> {
        self.names.iter().filter_map(|(name, parsed)| Some((name.as_str(), parsed.as_ref()?)))
    }

    /// Those of JSON files.
    pub(crate) fn sidecars(&self) -> impl Iterator<Item = (&str, &BidsName)> {
        let named = |&position: &usize| {
            let (name, parsed) = &self.names[position];
            Some((name.as_str(), parsed.as_ref()?))
        };
        self.sidecars.iter().filter_map(named)
    }

    /// The file about the same recording, with one of the suffixes and extensions and this
    /// description or none, that says nothing else than the scan; the one that says most.
    pub(crate) fn beside(
        &self,
        scan: &Entities,
        suffixes: &[&str],
        extensions: &[&str],
        description: Option<&str>,
    ) -> Option<String> {
        let about = |entities: &Entities| {
            let mut others = Entities::default();
            for (entity, label) in entities.iter().filter(|(it, _)| *it != Entity::Description) {
                others.add(entity, label);
            }
            // a mask of another space is none
            let same_space = suffixes != ["mask"]
                || [Entity::Space, Entity::Resolution]
                    .iter()
                    .all(|entity| scan.get(*entity) == entities.get(*entity));
            scan.includes(&others) && same_space && others.only(&RECORDING) == scan.only(&RECORDING)
        };
        let fits = |name: &BidsName| {
            suffixes.contains(&name.suffix.as_str())
                && extensions.contains(&name.extension.as_str())
                && name.entities.get(Entity::Description) == description
                && about(&name.entities)
        };
        let best = self.parsed().filter(|(_, name)| fits(name));
        best.max_by_key(|(_, name)| name.entities.len()).map(|(name, _)| name.to_owned())
    }
}
