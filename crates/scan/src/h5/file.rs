//! The way from the root of a file to a dataset, link by link.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use hdf5::{Group, IndexType, IterationOrder, LinkType, LocationType};
use ndarray::ArrayD;

use super::{attributes::Attribute, dataset::Dataset, guarded, tree::Hdf5Node};
use crate::error::{Error, Result, brief};

/// The first bytes of the format, at 0 or after a user block of 512 · 2ⁿ bytes.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// The largest user block that is looked for.
const MAX_USER_BLOCK: u64 = 1 << 20;

/// An open HDF5 file, its names resolved without ever leaving it.
///
/// A dataset that MATLAB wrote (it carries `MATLAB_class`) has its axes in MATLAB's order, which is
/// the reverse of the file's.
#[derive(Clone, Debug)]
pub struct Hdf5File {
    path: PathBuf,
    pub(super) file: hdf5::File,
    /// Size on disk.
    pub(super) n_bytes: u64,
    /// The library's number of this file: objects of other files have others.
    number: u64,
}

/// Where the format begins in a file, if it does.
pub(crate) fn begins_at(file: &mut File) -> io::Result<Option<u64>> {
    let n_bytes = file.metadata()?.len();
    let mut offset = 0;
    while offset + SIGNATURE.len() as u64 <= n_bytes && offset <= MAX_USER_BLOCK {
        let mut bytes = [0; SIGNATURE.len()];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        if bytes == SIGNATURE {
            return Ok(Some(offset));
        }
        offset = if offset == 0 { 512 } else { 2 * offset };
    }
    Ok(None)
}

/// Whether a file that begins at `start` tells of a driver, as one of several files does.
///
/// Superblocks of version 0 and 1 only. The library would allocate what that block claims to hold.
fn names_a_driver(file: &mut File, start: u64) -> io::Result<bool> {
    let mut block = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(96).read_to_end(&mut block)?;
    let (Some(version), Some(width)) = (block.get(8), block.get(13)) else { return Ok(false) };
    let addresses = match version {
        0 => 24,
        1 => 28,
        _ => return Ok(false),
    };
    let at = addresses + 3 * usize::from(*width);
    let address = block.get(at..at + usize::from(*width)).unwrap_or_default();
    Ok(address.iter().any(|byte| *byte != 0xff))
}

impl Hdf5File {
    /// Opens a file to read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        guarded(path.as_ref(), || Self::opened(path.as_ref()))
    }

    fn opened(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let refuse = |problem: String| Error::Hdf5 { path: path.to_path_buf(), problem };
        let mut plain = File::open(path).map_err(attach)?;
        let metadata = plain.metadata().map_err(attach)?;
        if !metadata.is_file() {
            return Err(attach(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        let Some(start) = begins_at(&mut plain).map_err(attach)? else {
            let found = if metadata.len() == 0 { "it is empty" } else { "it has no signature" };
            return Err(refuse(format!("cannot be read as HDF5: {found}")));
        };
        if names_a_driver(&mut plain, start).map_err(attach)? {
            return Err(refuse("is one of several HDF5 files that belong together".to_owned()));
        }
        let damaged = |error| refuse(format!("cannot be read as HDF5: {}", words(&error)));
        // a lock is refused by many network file systems, and a reader needs none
        let mut options = hdf5::File::with_options();
        let unlocked = options.with_fapl(|plan| plan.file_locking(false)).open(path);
        // this program may have the file open to write, and then the library wants the same of both
        let file = unlocked.or_else(|_| hdf5::File::open(path)).map_err(damaged)?;
        let number = file.loc_info_by_name("/").map_err(damaged)?.fileno;
        Ok(Self { path: path.to_path_buf(), file, n_bytes: metadata.len(), number })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size on disk in bytes.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// All numbers of a dataset, widened to 64 bits as they are stored: no attribute scales them.
    pub fn read(&self, dataset: &str) -> Result<ArrayD<f64>> {
        guarded(&self.path, || self.dataset(dataset)?.values())
    }

    /// All texts of a dataset: strings of fixed or free length, or MATLAB's characters and cells of
    /// characters.
    pub fn read_texts(&self, dataset: &str) -> Result<Vec<String>> {
        guarded(&self.path, || self.dataset(dataset)?.texts())
    }

    /// The attributes of a group or dataset; those that are neither numbers nor text are left out.
    pub fn attributes(&self, object: &str) -> Result<Vec<(String, Attribute)>> {
        guarded(&self.path, || match self.object(object)? {
            Object::Group(group) => self.attributes_of(object, &group),
            Object::Dataset(dataset) => dataset.attributes(),
        })
    }

    /// Groups, datasets and links, in the order of their names; links are listed, not followed.
    pub fn nodes(&self) -> Result<Vec<Hdf5Node>> {
        guarded(&self.path, || super::tree::nodes(self))
    }

    /// The same file without the library.
    pub(super) fn plain(&self) -> Result<File> {
        File::open(&self.path).map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    pub(crate) fn dataset(&self, name: &str) -> Result<Dataset<'_>> {
        match self.object(name)? {
            Object::Dataset(dataset) => Ok(dataset),
            Object::Group(_) => Err(self.refuse(name, "is a group, expected a dataset")),
        }
    }

    /// A dataset of this name if there is anything of this name.
    pub(crate) fn dataset_if_any(&self, name: &str) -> Result<Option<Dataset<'_>>> {
        match self.walk(name)? {
            Some(Object::Dataset(dataset)) => Ok(Some(dataset)),
            Some(Object::Group(_)) | None => Ok(None),
        }
    }

    /// The root.
    pub(super) fn root(&self) -> Result<Group> {
        self.file.group("/").map_err(|error| self.failed("/", "cannot be opened", &error))
    }

    /// The group that holds a dataset, and every one above it, as paths.
    pub(super) fn groups_of(name: &str) -> Vec<String> {
        let parts: Vec<&str> = components(name).collect();
        (0..parts.len()).rev().map(|n| format!("/{}", parts[..n].join("/"))).collect()
    }

    fn object(&self, name: &str) -> Result<Object<'_>> {
        self.walk(name)?.ok_or_else(|| {
            self.refuse(name, "is not there; `scan inspect` lists what the file holds")
        })
    }

    /// Follows a path from the root, one link after the other.
    fn walk(&self, name: &str) -> Result<Option<Object<'_>>> {
        let mut group = self.root()?;
        let mut parts = components(name).peekable();
        while let Some(part) = parts.next() {
            let Some(link) = self.link(name, &group, part)? else { return Ok(None) };
            if link == LinkType::External {
                let problem = "lies behind a link to another file, which is never followed; \
                               open that file itself";
                return Err(self.refuse(name, problem));
            }
            let Ok(found) = group.loc_info_by_name(part) else {
                let problem = if link == LinkType::Soft {
                    "is a link that leads nowhere or in a circle"
                } else {
                    "cannot be opened: its header is damaged"
                };
                return Err(self.refuse(name, problem));
            };
            if found.fileno != self.number {
                let problem = "is a link that leads into another file, which is never followed; \
                               open that file itself";
                return Err(self.refuse(name, problem));
            }
            let failed = |error| self.failed(name, "cannot be opened", &error);
            match (found.loc_type, parts.peek()) {
                (LocationType::Group, _) => group = group.group(part).map_err(failed)?,
                (LocationType::Dataset, None) => {
                    let inner = group.dataset(part).map_err(failed)?;
                    return Dataset::new(self, name, inner)
                        .map(|dataset| Some(Object::Dataset(dataset)));
                }
                (LocationType::Dataset, Some(_)) => return Ok(None),
                _ => return Err(self.refuse(name, "is neither a group nor a dataset")),
            }
        }
        Ok(Some(Object::Group(group)))
    }

    fn link(&self, name: &str, group: &Group, part: &str) -> Result<Option<LinkType>> {
        let same =
            |found: &str, info: hdf5::LinkInfo| Ok((found == part).then_some(info.link_type));
        let link = group.find_link(IndexType::Name, IterationOrder::Native, same);
        link.map_err(|error| self.failed(name, "cannot be looked for", &error))
    }

    /// An error about one object, in words of ours.
    pub(super) fn refuse(&self, name: &str, problem: impl Into<String>) -> Error {
        let problem = format!("{} {}", shown(name), problem.into());
        Error::Hdf5 { path: self.path.clone(), problem }
    }

    /// An error about one object, with the library's reason.
    pub(super) fn failed(&self, name: &str, what: &str, error: &hdf5::Error) -> Error {
        self.refuse(name, format!("{what}: {}", words(error)))
    }
}

/// What a path may lead to.
enum Object<'a> {
    Group(Group),
    Dataset(Dataset<'a>),
}

fn components(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// The name of an object in a sentence: on one line, however it was made.
fn shown(name: &str) -> String {
    let path = components(name).collect::<Vec<_>>().join("/");
    format!("/{}", path.escape_debug())
}

/// The library's reason on one line, without the names of its functions.
pub(super) fn words(error: &hdf5::Error) -> String {
    let text = error.to_string();
    let text = text.split_once("(): ").map_or(text.as_str(), |(_, reason)| reason);
    brief(text)
}
