//! What bash read in a recipe.

use std::collections::BTreeMap;

/// The variables and functions of a recipe, as evaluated for one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// Arrays by name; a plain variable is an array of one, and one that is not set is empty.
    variables: BTreeMap<String, Vec<String>>,
    /// Names of the functions.
    pub functions: Vec<String>,
    /// Which of a recipe's variables are arrays, whatever they should be.
    pub arrays: Vec<String>,
    /// Which of them are plain ones.
    pub strings: Vec<String>,
}

impl Evaluated {
    /// Reads the driver's records: name, number of values, values, and so on; the functions last.
    ///
    /// `None` when they are garbled or cut off.
    pub fn parse(records: &[String]) -> Option<Self> {
        let mut evaluated = Self::default();
        let mut rest = records;
        while let [name, count, values @ ..] = rest {
            let count: usize = count.parse().ok()?;
            let (values, after) = values.split_at_checked(count)?;
            match name.as_str() {
                "functions" => evaluated.functions = values.to_vec(),
                "arrays" => evaluated.arrays = values.to_vec(),
                "strings" => evaluated.strings = values.to_vec(),
                _ => drop(evaluated.variables.insert(name.clone(), values.to_vec())),
            }
            rest = after;
        }
        rest.is_empty().then_some(evaluated)
    }

    /// All variables with their values, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.variables.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// All values of a variable.
    pub fn all(&self, name: &str) -> &[String] {
        self.variables.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first value of a variable.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_garbled_ones_are_not() {
        let records = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let evaluated = Evaluated::parse(&records("pkgname|1|a b|source|2|x||arch|0|functions|1|build")).unwrap();
        assert_eq!(evaluated.one("pkgname"), Some("a b"));
        assert_eq!(evaluated.all("source"), ["x", ""]);
        assert_eq!((evaluated.one("arch"), evaluated.all("none").len()), (None, 0));
        assert_eq!(evaluated.functions, ["build"]);
        for bad in ["pkgname", "pkgname|x", "pkgname|2|a", "pkgname|99999999999999999999|a", "a|0|b"] {
            assert_eq!(Evaluated::parse(&records(bad)), None, "{bad}");
        }
    }
}
