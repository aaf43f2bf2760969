//! The files of the left and the right hemisphere, which are one recording.

use crate::{
    entity::{BidsName, Entities, Entity},
    folder::Folder,
};

/// What a file is of a recording whose hemispheres may lie in two files.
pub(super) enum Half {
    /// All of it: its entities, and the file of the other hemisphere that is read with it.
    Whole(Entities, Option<String>),
    /// The right hemisphere of what the file of the left one stands for.
    Right,
}

impl Half {
    /// Of a file in a folder, by the names that lie there.
    pub(super) fn of(folder: &Folder, name: &str, parsed: &BidsName) -> Self {
        let entities = &parsed.entities;
        let alone = Self::Whole(entities.clone(), None);
        let twin = match entities.get(Entity::Hemisphere) {
            Some("L") => name.replacen("_hemi-L", "_hemi-R", 1),
            Some("R") => name.replacen("_hemi-R", "_hemi-L", 1),
            _ => return alone,
        };
        if ![".func.gii", ".gii"].contains(&parsed.extension.as_str())
            || folder.names().all(|it| it != twin)
        {
            return alone;
        }
        match entities.get(Entity::Hemisphere) {
            Some("L") => Self::Whole(entities.without(Entity::Hemisphere), Some(twin)),
            _ => Self::Right,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use files::FileIndex;

    use crate::{BidsConfig, Entity, RepetitionTime, TrSource, testing::write};

    #[test]
    fn files_of_both_hemispheres_are_one_recording() {
        let folder = tempfile::tempdir().unwrap();
        let func = folder.path().join("data/sub-05/func");
        let name =
            |hemi: &str| format!("sub-05_task-rest_hemi-{hemi}_space-fsaverage_bold.func.gii");
        write(&folder.path().join("data/task-rest_bold.json"), "{\"RepetitionTime\": 2.0}");
        fs::create_dir_all(&func).unwrap();
        for hemi in ["L", "R"] {
            let from = format!("sub-01_task-rest_hemi-{hemi}_space-fsaverage_bold.func.gii");
            let surface = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surface");
            fs::copy(surface.join(from), func.join(name(hemi))).unwrap();
        }
        let config: BidsConfig = serde_json::from_str("{\"dir\": \"data\"}").unwrap();
        let index = || config.index(&|path| folder.path().join(path), &FileIndex::unkept());
        let cohort = index().unwrap();
        assert_eq!((cohort.recordings.len(), cohort.excluded.len()), (1, 0));
        let found = &cohort.recordings[0];
        assert!(found.source.path().ends_with(name("L")));
        assert_eq!((found.entities.get(Entity::Hemisphere), found.n_frames), (None, Some(5)));
        assert_eq!(found.t_r, Some(RepetitionTime { seconds: 2.0, source: TrSource::Sidecar }));
        // one alone is what its name says
        let elsewhere = folder.path().join("right.gii");
        fs::rename(func.join(name("R")), &elsewhere).unwrap();
        let alone = index().unwrap();
        assert_eq!(alone.recordings[0].entities.get(Entity::Hemisphere), Some("L"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(elsewhere, func.join(name("R"))).unwrap();
            let said = index().unwrap_err().to_string();
            assert!(said.contains("scan leaves the cohort's folder by a link"), "{said}");
        }
    }
}
