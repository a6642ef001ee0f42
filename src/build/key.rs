//! What goes into a build, as one number.

use sha2::{Digest as _, Sha256};

use crate::vocab::{BuildKey, Digest, RecipeMeta};

/// Names the encoding: another one must never give the same keys.
const ENCODING: &str = "rbee build key 2";

/// Hashes everything that decides what a build makes: the recipe's files, the [`super::Class`] of
/// machines that it is for, the features.
///
/// Every part is preceded by its length, so that no two different inputs read the same.
pub fn build_key(recipe: &RecipeMeta, class: &str, features: &[String]) -> BuildKey {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(ENCODING.as_bytes());
    part(recipe.worker.id.as_str().as_bytes());
    part(class.as_bytes());
    part(&(features.len() as u64).to_be_bytes());
    features.iter().for_each(|feature| part(feature.as_bytes()));
    part(&(recipe.files.len() as u64).to_be_bytes());
    for file in &recipe.files {
        part(file.path.as_bytes());
        part(&[u8::from(file.executable)]);
        part(&file.content);
    }
    BuildKey(Digest::new(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, CatalogSource};

    #[test]
    fn every_part_counts_and_no_boundary_can_be_moved() {
        let recipe = Catalog::open(&[CatalogSource::BuiltIn]).unwrap().resolve("echo-worker").unwrap();
        let key = |recipe: &RecipeMeta, class: &str, features: &[&str]| {
            build_key(recipe, class, &features.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
        };
        let base = key(&recipe, "linux", &["a", "b"]);
        assert_eq!(base, key(&recipe.clone(), "linux", &["a", "b"]));
        let mut others = vec![
            key(&recipe, "macos", &["a", "b"]),
            key(&recipe, "linux", &["ab"]),
            key(&recipe, "linux", &["a", "", "b"]),
        ];
        let mut changed = |change: &dyn Fn(&mut RecipeMeta)| {
            let mut other = recipe.clone();
            change(&mut other);
            others.push(key(&other, "linux", &["a", "b"]));
        };
        changed(&|r| r.files[1].content.push(b'\n'));
        changed(&|r| r.files[1].executable = true);
        changed(&|r| r.files[1].path.push('x'));
        changed(&|r| {
            r.files.pop();
        });
        changed(&|r| {
            let byte = r.files[1].content.remove(0);
            r.files[1].path.push(byte as char);
        });
        // Where it came from is no part of it.
        let mut moved = recipe.clone();
        moved.origin = "elsewhere".into();
        assert_eq!(base, key(&moved, "linux", &["a", "b"]));
        others.push(base);
        let count = others.len();
        others.sort_by_key(|key| key.0);
        others.dedup();
        assert_eq!(others.len(), count);
    }
}
