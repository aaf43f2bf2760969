//! What a pickle may not make an object of: whatever reaches the running system.
//!
//! A class that we do not know is data under a name. One of these modules is none: an object of it
//! is a process, a socket, a file or code, and a file that asks for one asks for a call.

use super::{
    call,
    heap::{Id, Object},
    machine::Machine,
};
use crate::error::Result;

/// Modules, with all that is below them; each also stands for its half in C, `_socket`.
const MODULES: &[&str] = &[
    // processes and files
    "os",
    "posix",
    "nt",
    "subprocess",
    "posixsubprocess",
    "popen2",
    "pty",
    "shutil",
    "tempfile",
    "fcntl",
    "mmap",
    "msvcrt",
    "winapi",
    "winreg",
    "multiprocessing",
    "threading",
    "thread",
    "concurrent",
    "asyncio",
    "signal",
    "platform",
    // code
    "sys",
    "importlib",
    "frozen_importlib",
    "frozen_importlib_external",
    "imp",
    "zipimport",
    "pkgutil",
    "runpy",
    "codeop",
    "ctypes",
    "cffi",
    "pdb",
    "bdb",
    "timeit",
    "cProfile",
    "doctest",
    "pydoc",
    "ensurepip",
    "pip",
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "copyreg",
    "operator",
    // the network
    "socket",
    "socketserver",
    "ssl",
    "http",
    "httplib",
    "urllib",
    "urllib2",
    "urllib3",
    "requests",
    "httpx",
    "aiohttp",
    "ftplib",
    "smtplib",
    "poplib",
    "imaplib",
    "telnetlib",
    "xmlrpc",
    "webbrowser",
    "paramiko",
];

/// Parts of modules that are else harmless.
const NAMES: &[&str] = &[
    "code.InteractiveConsole",
    "code.InteractiveInterpreter",
    "code.compile_command",
    "code.interact",
    "commands.getoutput",
    "commands.getstatusoutput",
    "functools.reduce",
    "numpy.ctypeslib",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.load",
    "numpy.testing",
    "profile.Profile",
    "profile.run",
    "profile.runctx",
    "torch.hub",
    "torch.jit",
    "torch.load",
    "torch.multiprocessing",
    "torch.package",
    "torch.serialization",
    "torch.storage._load_from_bytes",
    "torch.utils.cpp_extension",
    "types.CodeType",
    "types.FunctionType",
    "types.LambdaType",
    "types.MethodType",
    "types.ModuleType",
];

/// Modules that another module's name may lead to, as in `torch.serialization.os.system`.
const INNER: &[&str] = &[".os.", ".posix.", ".subprocess.", ".importlib.", ".ctypes."];

/// All of `builtins` that holds data; Python 2's too.
const PLAIN: &[&str] = &[
    "basestring",
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Classes that call their first argument.
const WRAPPERS: &[&str] =
    &["collections.defaultdict", "functools.partial", "functools.partialmethod"];

/// Attributes that loading itself calls, beside those with underscores around them.
const HOOKS: &[&str] = &["add", "append", "extend"];

impl Machine<'_, '_> {
    /// Fails where a class, or the function that an object of it wraps, is the system's.
    pub(super) fn check_class(&self, class: Id, arguments: &[Id]) -> Result<()> {
        let name = call::function_name(self, class)?;
        if is_system(&name) {
            return Err(call::refused(self, &name));
        }
        match arguments.first() {
            Some(&function) if WRAPPERS.contains(&name.as_str()) => self.check_wrapped(function),
            _ => Ok(()),
        }
    }

    /// Fails where a value is a class or function of the system.
    pub(super) fn check_wrapped(&self, value: Id) -> Result<()> {
        if let Object::Global(_) = self.heap.get(value) {
            let name = call::function_name(self, value)?;
            if is_system(&name) {
                return Err(call::refused(self, &name));
            }
        }
        Ok(())
    }

    /// Fails where an object's state holds a function under a name that the next opcodes call:
    /// `{"__setstate__": os.system}`.
    pub(super) fn check_state(&mut self, state: Id) -> Result<()> {
        let parts = match self.heap.get(state) {
            // `__slots__` put a second dictionary beside the first
            Object::List(parts) if parts.len() == 2 => parts.clone(),
            _ => vec![state],
        };
        for part in parts {
            let Object::Dict(items) = self.heap.get(part) else { continue };
            for &(key, value) in items {
                let Object::Text(key) = self.heap.get(key) else { continue };
                let is_global = matches!(self.heap.get(value), Object::Global(_));
                if **key == *"__setstate__" && is_global {
                    return Err(call::refused(self, &call::function_name(self, value)?));
                }
                if key.starts_with("__") || HOOKS.contains(&&**key) {
                    self.check_wrapped(value)?;
                }
            }
            // a state may be set again and again
            let n = items.len() / 4;
            self.heap.charge(self.cursor, n)?;
        }
        Ok(())
    }
}

/// Whether `module.name`, as Python 3 calls it, reaches the running system.
fn is_system(name: &str) -> bool {
    let (module, rest) = name.split_once('.').unwrap_or((name, ""));
    let module = module.strip_prefix('_').unwrap_or(module);
    match module {
        "builtins" => !PLAIN.contains(&rest),
        "io" => !matches!(rest, "BytesIO" | "StringIO"),
        // the parts of an address are plain texts
        "urllib" if rest.starts_with("parse.") => false,
        _ => {
            let is_below = |part: &&str| {
                name.strip_prefix(*part)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            MODULES.contains(&module)
                || NAMES.iter().any(is_below)
                || INNER.iter().any(|part| name.contains(part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_the_system_are_told_from_those_of_a_project() {
        for name in [
            "os.system",
            "posix.system",
            "nt.system",
            "os.path.join",
            "subprocess.Popen",
            "_socket.socket",
            "_io.FileIO",
            "builtins.eval",
            "builtins.type",
            "sys.exit",
            "importlib._bootstrap.ModuleSpec",
            "_frozen_importlib.ModuleSpec",
            "code.InteractiveConsole",
            "types.CodeType",
            "torch.load",
            "torch.hub.load",
            "torch.serialization.os.system",
            "urllib.request.Request",
        ] {
            assert!(is_system(name), "{name}");
        }
        for name in [
            "builtins.object",
            "builtins.dict",
            "_io.BytesIO",
            "os2.Thing",
            "code.model.Net",
            "torch.loader.Net",
            "torch.nn.modules.linear.Linear",
            "__torch__.torch.nn.modules.conv.Conv1d",
            "__main__.Config",
            "argparse.Namespace",
            "functools.partial",
            "pathlib.PosixPath",
            "lightning.fabric.utilities.data.AttributeDict",
            "project.system.os",
            "urllib.parse.ParseResult",
            "",
        ] {
            assert!(!is_system(name), "{name}");
        }
    }
}
