//! What an archive is, once it is unpacked: one program, or a tree.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::Asset;
use crate::transfer::tree::{FOLDERS, Tree};

/// One program, or a folder with bin, lib and share.
pub enum Shape {
    File(PathBuf),
    Tree(Tree),
}

/// Finds out what is in `unpacked`, and rearranges it where programs and libraries lie in one folder.
pub fn shape(unpacked: &Path, asset: &Asset) -> Result<Shape, String> {
    let root = inside(unpacked, asset.strip)?;
    let names = names(&root)?;
    let plain: Vec<&String> = names.iter().filter(|name| !is_to_read(name)).collect();
    if let [only] = plain[..] {
        let path = root.join(only);
        if is_file(&path) && asset.entry.is_none() {
            return Ok(Shape::File(path));
        }
    }
    let tree = if root.join("bin").is_dir() {
        for name in names.iter().filter(|name| is_to_read(name) && is_file(&root.join(name))) {
            fs::remove_file(root.join(name)).map_err(|error| error.to_string())?;
        }
        root
    } else {
        // Everything in one folder, as with programs that find their libraries beside themselves.
        let tree = unpacked.with_extension("tree");
        fs::create_dir(&tree).and_then(|()| fs::rename(&root, tree.join("bin"))).map_err(|error| error.to_string())?;
        fs::set_permissions(tree.join("bin"), fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        tree
    };
    if let Some(program) = only_program(&tree, asset) {
        return Ok(Shape::File(program));
    }
    Tree::open(&tree, asset.entry.as_deref(), &asset.worker).map(Shape::Tree).map_err(|error| error.to_string())
}

/// The one program of a tree that has nothing else.
fn only_program(tree: &Path, asset: &Asset) -> Option<PathBuf> {
    if FOLDERS.iter().any(|folder| *folder != "bin" && tree.join(folder).exists()) {
        return None;
    }
    let names = names(&tree.join("bin")).ok()?;
    let mut programs = names.iter().filter(|name| !is_to_read(name));
    let (program, rest) = (programs.next()?, programs.next());
    let said = asset.entry.as_deref().is_none_or(|entry| entry.trim_start_matches("bin/") == program);
    let path = tree.join("bin").join(program);
    (rest.is_none() && said && is_file(&path)).then_some(path)
}

/// The folder that everything is in.
fn inside(unpacked: &Path, strip: Option<u64>) -> Result<PathBuf, String> {
    let mut root = unpacked.to_owned();
    for depth in 0..strip.unwrap_or(8) {
        let names = names(&root)?;
        match (&names[..], strip) {
            ([only], _) if root.join(only).is_dir() && (strip.is_some() || !FOLDERS.contains(&only.as_str())) => {
                root.push(only);
            }
            (_, Some(_)) => return Err(format!("it has not one folder around everything at depth {}", depth + 1)),
            _ => break,
        }
    }
    Ok(root)
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        names.push(name.into_string().map_err(|name| format!("{name:?} in it is no usable name"))?);
    }
    names.sort();
    Ok(names)
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_file())
}

/// What is there for people, and for no program.
fn is_to_read(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let head = upper.split(['.', '-', '_']).next().unwrap_or_default();
    let known = ["README", "LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS", "CHANGELOG", "CHANGES", "NEWS"];
    known.contains(&head) || name.ends_with(".md") || name.ends_with(".txt")
}

/// Makes a program executable that an archive said nothing about; a file that is no program stays as it is.
pub fn make_executable(path: &Path) -> io::Result<()> {
    let mut head = [0; 4];
    let got = fs::File::open(path)?.read(&mut head)?;
    let program =
        head[..got].starts_with(b"#!") || [b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"].contains(&&head);
    if program {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
