//! Which key stands where in a YAML file, for mistakes that the parser cannot place: a key that is
//! missing, and a value that only makes sense beside others.
use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_yaml::{Location, Spanned};

/// A line and a column in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    pub(super) fn of(location: Location) -> Self {
        let [line, column] = [location.line(), location.column()].map(|n| (n as usize).max(1));
        Self { line, column }
    }
}

/// A value of a YAML file, with the places of the keys and values inside.
#[derive(Debug)]
pub struct Outline {
    place: Place,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    Block(Vec<Entry>),
    List(Vec<Outline>),
    Text(String),
    Other,
}

#[derive(Debug)]
struct Entry {
    key: String,
    place: Place,
    value: Outline,
}

/// A block of keys, as a message tells it.
#[derive(Debug, PartialEq)]
pub(super) struct Block<'a> {
    /// The key that opens it; a file and an item of a list have none.
    pub(super) name: Option<&'a str>,
    /// Where that key stands, or the first one inside.
    pub(super) place: Place,
    /// The keys inside.
    pub(super) keys: Vec<&'a str>,
}

impl Outline {
    /// `None` where `text` is no YAML at all.
    pub fn read(text: &str) -> Option<Self> {
        serde_yaml::from_str(text).ok()
    }

    /// The place of the first of `keys` that is there, of the next inside it, and so on: the last of
    /// these places, what it holds, and the keys that are not there. In a list a key is an index from
    /// 0, or the only key of an item.
    pub fn descend<'k>(&self, keys: &'k [&'k str]) -> (Place, &Self, &'k [&'k str]) {
        let (mut place, mut here, mut rest) = (self.start(), self, keys);
        while let [key, after @ ..] = rest
            && let Some((found, inside)) = here.child(key)
        {
            (place, here, rest) = (found, inside, after);
        }
        (place, here, rest)
    }

    /// The file that a component is kept in.
    pub fn file(&self) -> Option<&str> {
        match &self.inside {
            Inside::Block(entries) => match entries.as_slice() {
                [Entry { key, value: Self { inside: Inside::Text(file), .. }, .. }]
                    if key == "file" =>
                {
                    Some(file)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The block with a key at `place`, or the empty block there.
    pub(super) fn block_at(&self, place: Place) -> Option<Block<'_>> {
        self.search(place, None)
    }

    fn search<'a>(&'a self, place: Place, opened_by: Option<&'a Entry>) -> Option<Block<'a>> {
        match &self.inside {
            Inside::Block(entries) => {
                let is_here = |entry: &Entry| entry.place == place;
                if entries.iter().any(is_here) || (entries.is_empty() && self.place == place) {
                    return Some(Block {
                        name: opened_by.map(|entry| entry.key.as_str()),
                        place: opened_by.map_or(self.start(), |entry| entry.place),
                        keys: entries.iter().map(|entry| entry.key.as_str()).collect(),
                    });
                }
                entries.iter().find_map(|entry| entry.value.search(place, Some(entry)))
            }
            Inside::List(items) => items.iter().find_map(|item| item.search(place, None)),
            Inside::Text(_) | Inside::Other => None,
        }
    }

    fn child(&self, name: &str) -> Option<(Place, &Self)> {
        let in_block = |entries: &[Entry]| entries.iter().position(|entry| entry.key == name);
        match &self.inside {
            Inside::Block(entries) => {
                let entry = &entries[in_block(entries)?];
                Some((entry.place, &entry.value))
            }
            Inside::List(items) => match name.parse::<usize>() {
                Ok(idx) => items.get(idx).map(|item| (item.start(), item)),
                Err(_) => items.iter().find_map(|item| item.child(name)),
            },
            Inside::Text(_) | Inside::Other => None,
        }
    }

    /// The first key of a block; some parsers' blocks begin elsewhere.
    fn start(&self) -> Place {
        match &self.inside {
            Inside::Block(entries) => entries.first().map_or(self.place, |entry| entry.place),
            _ => self.place,
        }
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { place: Place::of(referenced), inside: value })
    }
}

impl<'de> Deserialize<'de> for Inside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InsideVisitor)
    }
}

struct InsideVisitor;

impl<'de> Visitor<'de> for InsideVisitor {
    type Value = Inside;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inside, A::Error> {
        let mut entries = Vec::new();
        while let Some(Spanned { value: key, referenced, .. }) = map.next_key()? {
            entries.push(Entry { key, place: Place::of(referenced), value: map.next_value()? });
        }
        Ok(Inside::Block(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inside, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Inside::List(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<Inside, E> {
        Ok(Inside::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Inside, E> {
        Ok(Inside::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Inside, E> {
        Ok(Inside::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Inside, E> {
        Ok(Inside::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Inside, E> {
        Ok(Inside::Other)
    }

    fn visit_unit<E>(self) -> Result<Inside, E> {
        Ok(Inside::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
seed: 1
model:
  gates: { every: 1, width: 4 }
stages:
  - mask: { above_mean: 0.6 }
  - fit:
      steps: 10
list:
  - name: a
    lead: b
resampler: { file: r.yaml }
nothing: {}
";

    fn place(line: usize, column: usize) -> Place {
        Place { line, column }
    }

    #[test]
    fn keys_are_found_where_they_stand() {
        let outline = Outline::read(TEXT).unwrap();
        let find = |keys: &[&str]| {
            let (place, _, rest) = outline.descend(keys);
            (place.line, place.column, rest.len())
        };
        assert_eq!(find(&[]), (2, 1, 0));
        assert_eq!(find(&["seed"]), (2, 1, 0));
        assert_eq!(find(&["model", "gates", "width"]), (4, 22, 0));
        assert_eq!(find(&["stages", "fit", "steps"]), (8, 7, 0));
        assert_eq!(find(&["stages", "1"]), (7, 5, 0));
        assert_eq!(find(&["stages", "0"]), (6, 5, 0));
        assert_eq!(find(&["stages", "fit", "stepz", "x"]), (7, 5, 2));
        assert_eq!(find(&["repeat"]), (2, 1, 1));
        let (_, inside, rest) = outline.descend(&["resampler", "depth"]);
        assert_eq!((inside.file(), rest), (Some("r.yaml"), &["depth"] as &[&str]));
    }

    #[test]
    fn a_block_is_found_by_a_key_inside() {
        let outline = Outline::read(TEXT).unwrap();
        let block = |line, column| outline.block_at(place(line, column)).unwrap();
        let gates = Block { name: Some("gates"), place: place(4, 3), keys: vec!["every", "width"] };
        assert_eq!(block(4, 22), gates);
        let item = Block { name: None, place: place(10, 5), keys: vec!["name", "lead"] };
        assert_eq!(block(11, 5), item);
        let nothing = Block { name: Some("nothing"), place: place(13, 1), keys: vec![] };
        assert_eq!(block(13, 10), nothing);
        assert_eq!((block(5, 1).name, block(5, 1).place), (None, place(2, 1)));
        assert_eq!(outline.block_at(place(1, 1)), None);
    }

    #[test]
    fn what_is_no_yaml_has_no_outline() {
        assert!(Outline::read("a: [1").is_none());
    }
}
