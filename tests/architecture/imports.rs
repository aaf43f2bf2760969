//! Which source file of a crate imports which: an edge goes to the file that defines what is named.
//! Lines of `mod`, what a file only hands on (`pub use`), the crate's `Error` and `Result`, and tests are left
//! out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// What no edge leads to: every file of a crate returns them.
const EVERYWHERE: [&str; 2] = ["Error", "Result"];

/// The files of one crate, and who imports whom.
pub(super) struct Imports {
    /// Relative to the folder of the crate's sources.
    files: Vec<String>,
    /// From the first file to the second, by their numbers.
    edges: BTreeSet<(usize, usize)>,
}

impl Imports {
    /// Of the crate whose first file is `root`.
    pub(super) fn of(root: &Path) -> Self {
        let mut tree = Tree { modules: Vec::new(), files: Vec::new() };
        let folder = root.parent().expect("a source file lies in a folder");
        tree.read(root, folder, None);
        let edges = tree.edges();
        let shown = |path: &PathBuf| {
            let inside = path.strip_prefix(folder).expect("below the root");
            inside.display().to_string()
        };
        Self { files: tree.files.iter().map(shown).collect(), edges }
    }

    /// Each import by the names of its two files.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.edges.iter().map(|&(from, to)| (self.files[from].as_str(), self.files[to].as_str()))
    }

    /// For each import that lies on a circle of three files or more the shortest such circle.
    pub(super) fn circles(&self) -> Vec<Vec<&str>> {
        let circle = |&(from, to): &(usize, usize)| {
            let back = self.way(to, from)?;
            Some([from].into_iter().chain(back).map(|it| self.files[it].as_str()).collect())
        };
        self.edges.iter().filter_map(circle).collect()
    }

    /// The shortest way over at least one other file.
    fn way(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut before = BTreeMap::from([(from, from)]);
        let mut open = VecDeque::from([from]);
        while let Some(at) = open.pop_front() {
            if at == to {
                let mut way = vec![to];
                while way[way.len() - 1] != from {
                    way.push(before[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            for &(_, next) in self.edges.range((at, 0)..(at + 1, 0)) {
                if (at, next) != (from, to) && !before.contains_key(&next) {
                    before.insert(next, at);
                    open.push_back(next);
                }
            }
        }
        None
    }
}

/// A module, in a file of its own or not.
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    imported: Vec<Import>,
    /// Paths in what it defines.
    named: Vec<Vec<String>>,
}

/// One name of a `use`.
struct Import {
    path: Vec<String>,
    /// What it is called here; none where all names of `path` are.
    name: Option<String>,
    hands_on: bool,
}

struct Tree {
    modules: Vec<Module>,
    files: Vec<PathBuf>,
}

impl Tree {
    /// Reads a file and those of its modules, which lie in `folder`.
    fn read(&mut self, path: &Path, folder: &Path, parent: Option<usize>) -> usize {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.files.push(path.to_owned());
        self.module(&parsed.items, self.files.len() - 1, folder, parent)
    }

    fn module(
        &mut self,
        items: &[Item],
        file: usize,
        folder: &Path,
        parent: Option<usize>,
    ) -> usize {
        let number = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            defined: BTreeSet::new(),
            imported: Vec::new(),
            named: Vec::new(),
        });
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let child = self.child(module, &name, file, folder, number);
                    self.modules[number].children.insert(name, child);
                }
                // a macro that is written here names what it names, and may write types
                Item::Macro(item) if item.ident.is_some() => {
                    let module = &mut self.modules[number];
                    module.defined.extend(item.ident.as_ref().map(ToString::to_string));
                    module.defined.extend(written(item.mac.tokens.clone()));
                    let mut paths = Paths(Vec::new());
                    paths.tokens(item.mac.tokens.clone());
                    module.named.extend(paths.0);
                }
                Item::Use(item) => self.modules[number].imported.extend(imports(item)),
                item => {
                    let module = &mut self.modules[number];
                    module.defined.extend(name(item));
                    let mut paths = Paths(Vec::new());
                    paths.visit_item(item);
                    module.named.extend(paths.0);
                }
            }
        }
        number
    }

    fn child(
        &mut self,
        module: &ItemMod,
        name: &str,
        file: usize,
        folder: &Path,
        parent: usize,
    ) -> usize {
        let inside = folder.join(name);
        if let Some((_, items)) = &module.content {
            return self.module(items, file, &inside, Some(parent));
        }
        let beside = folder.join(format!("{name}.rs"));
        let path = if beside.is_file() { beside } else { inside.join("mod.rs") };
        self.read(&path, &inside, Some(parent))
    }

    fn edges(&self) -> BTreeSet<(usize, usize)> {
        let mut edges = BTreeSet::new();
        for (number, module) in self.modules.iter().enumerate() {
            let used = module.imported.iter().filter(|it| !it.hands_on && it.name.is_some());
            let paths = used.map(|it| &it.path).chain(&module.named);
            for path in paths.filter(|it| !it.is_empty()) {
                if let Some(to) = self.defining(number, path, 0)
                    && to != module.file
                {
                    edges.insert((module.file, to));
                }
            }
        }
        edges
    }

    /// The file that defines what `path` names in a module; none where another crate does.
    fn defining(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let parent = |at: usize| self.modules[at].parent;
        match path[0].as_str() {
            "crate" => self.inside(0, &path[1..], depth),
            "self" => self.inside(at, &path[1..], depth),
            "super" => match path.get(1).map(String::as_str) {
                Some("super") => self.defining(parent(at)?, &path[1..], depth),
                _ => self.inside(parent(at)?, &path[1..], depth),
            },
            _ => self.inside(at, path, depth),
        }
    }

    fn inside(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        // a name that two modules hand to each other is found in neither
        let (first, rest) = path.split_first().filter(|_| depth < 20)?;
        let module = &self.modules[at];
        if module.defined.contains(first) {
            return (!EVERYWHERE.contains(&first.as_str())).then_some(module.file);
        }
        // a module and what it defines may have one name
        if let Some(&child) = module.children.get(first).filter(|_| !rest.is_empty()) {
            return self.inside(child, rest, depth + 1);
        }
        let named = module.imported.iter().find(|it| it.name.as_ref() == Some(first));
        if let Some(import) = named {
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            // `use lm::lm` would look for itself
            let itself = import.path.first() == Some(first) && !module.children.contains_key(first);
            return (!itself).then(|| self.defining(at, &whole, depth + 1)).flatten();
        }
        module.imported.iter().filter(|it| it.name.is_none()).find_map(|all| {
            let whole: Vec<String> = all.path.iter().chain(path).cloned().collect();
            self.defining(at, &whole, depth + 1)
        })
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Whether it is there for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg") && it.parse_args::<syn::Ident>().is_ok_and(|it| it == "test")
    })
}

/// The types that a macro of the crate writes.
fn written(tokens: TokenStream) -> Vec<String> {
    let (mut found, mut is_next) = (Vec::new(), false);
    for token in tokens {
        match token {
            TokenTree::Ident(name) if is_next => {
                found.push(name.to_string());
                is_next = false;
            }
            TokenTree::Ident(name) => is_next = name == "enum" || name == "struct",
            TokenTree::Group(group) => found.extend(written(group.stream())),
            _ => is_next = false,
        }
    }
    found
}

/// What an item defines.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        Item::Union(it) => &it.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Each name of a `use`.
fn imports(item: &ItemUse) -> Vec<Import> {
    fn below(tree: &UseTree, before: &[String], hands_on: bool, found: &mut Vec<Import>) {
        let then = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let mut keep = |path: Vec<String>, name| found.push(Import { path, name, hands_on });
        match tree {
            UseTree::Path(path) => below(&path.tree, &then(&path.ident), hands_on, found),
            UseTree::Name(name) if name.ident == "self" => {
                keep(before.to_vec(), before.last().cloned());
            }
            UseTree::Name(name) => keep(then(&name.ident), Some(name.ident.to_string())),
            UseTree::Rename(it) => keep(then(&it.ident), Some(it.rename.to_string())),
            UseTree::Glob(_) => keep(before.to_vec(), None),
            UseTree::Group(group) => {
                group.items.iter().for_each(|it| below(it, before, hands_on, found));
            }
        }
    }
    let mut found = Vec::new();
    // `::cohort` is another crate's
    if item.leading_colon.is_none() {
        below(&item.tree, &[], !matches!(item.vis, Visibility::Inherited), &mut found);
    }
    found
}

/// Every path of an item, those in the arguments of macros too.
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Use(item) => self.0.extend(imports(item).into_iter().map(|it| it.path)),
            item => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.0.push(path.segments.iter().map(|it| it.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

impl Paths {
    /// Names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons): (Vec<String>, usize) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => {
                    self.0.push(std::mem::replace(&mut path, vec![name.to_string()]));
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.0.push(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                _ => self.0.push(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.0.push(path);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Imports of a crate of these files, and its circles, each from its first file in the alphabet on.
    fn found(files: &[(&str, &str)]) -> (Vec<String>, BTreeSet<Vec<String>>) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let imports = Imports::of(&dir.path().join("lib.rs"));
        let edges = imports.named().map(|(from, to)| format!("{from} {to}")).collect();
        let from_first = |mut circle: Vec<&str>| {
            circle.pop();
            let first = (0..circle.len()).min_by_key(|at| circle[*at]).expect("no circle is empty");
            circle.rotate_left(first);
            circle.into_iter().map(str::to_owned).collect()
        };
        (edges, imports.circles().into_iter().map(from_first).collect())
    }

    #[test]
    fn a_type_that_a_macro_writes_is_defined_where_the_macro_is() {
        let all = [
            ("lib.rs", "mod all; mod b; mod c;"),
            (
                "all.rs",
                "use crate::b::B; macro_rules! all { () => { pub enum All { B(B) } }; } all!();",
            ),
            ("b.rs", "pub struct B; fn f() -> crate::c::C { todo!() }"),
            ("c.rs", "pub struct C(crate::all::All);"),
        ];
        let (edges, circles) = found(&all);
        assert_eq!(edges, ["all.rs b.rs", "b.rs c.rs", "c.rs all.rs"]);
        assert_eq!(circles.len(), 1);
    }

    #[test]
    fn a_circle_of_three_files_is_found_and_one_of_two_is_none() {
        let all = [
            ("lib.rs", "mod a; mod b; mod folder;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; fn f() { vec![crate::folder::c()]; }"),
            ("folder/mod.rs", "mod c; pub(crate) use c::*; use crate::Error;"),
            ("folder/c.rs", "pub fn c() -> super::super::a::A { todo!() }"),
        ];
        let (edges, circles) = found(&all);
        assert_eq!(edges, ["a.rs b.rs", "b.rs folder/c.rs", "folder/c.rs a.rs"]);
        let circle = ["a.rs", "b.rs", "folder/c.rs"].map(str::to_owned).to_vec();
        assert_eq!(circles, BTreeSet::from([circle]));
        let two = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use super::b; pub struct A(b::B);"),
            ("b.rs", "pub struct B(crate::a::A, crate::c::C);"),
            ("c.rs", "pub struct C; #[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        let (edges, circles) = found(&two);
        assert_eq!((edges.len(), circles.len()), (3, 0), "{edges:?}");
    }
}
