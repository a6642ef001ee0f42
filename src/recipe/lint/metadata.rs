//! Lints of what a recipe says of itself.

use super::Recipe;

/// What makepkg knows.
const OPTIONS: [&str; 14] = [
    "strip",
    "docs",
    "libtool",
    "staticlibs",
    "emptydirs",
    "zipman",
    "purge",
    "debug",
    "lto",
    "autodeps",
    "buildflags",
    "makeflags",
    "ccache",
    "distcc",
];
const STRINGS: [&str; 8] = ["changelog", "epoch", "install", "pkgbase", "pkgdesc", "pkgrel", "pkgver", "url"];

impl Recipe<'_> {
    pub(super) fn metadata(&mut self) {
        self.names();
        self.version();
        self.machines();
        self.kinds();
        self.options();
        self.packages();
        self.written_down();
    }

    fn names(&mut self) {
        let evaluated = self.evaluated;
        let names = evaluated.all("pkgname");
        if names.iter().all(String::is_empty) {
            self.error(1, "pkgname", "pkgname is missing");
        }
        let base = evaluated.one("pkgbase").filter(|base| !base.is_empty());
        let all = names.iter().map(|name| ("pkgname", name.as_str())).chain(base.map(|base| ("pkgbase", base)));
        for (variable, name) in all.filter(|(_, name)| !name.is_empty()) {
            let line = self.line_of(variable);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
            if !name.bytes().all(plain) || name.starts_with(['-', '.']) {
                let text =
                    format!("{variable} {name:?} may only have letters, digits and @._+-, and no - or . at its start");
                self.error(line, "pkgname", text);
            } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                self.warn(line, "pkgname", format!("{variable} {name:?} has upper-case letters"));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for name in names.iter().filter(|name| !seen.insert(name.as_str())) {
            let line = self.line_of("pkgname");
            self.error(line, "pkgname", format!("pkgname has {name:?} twice"));
        }
    }

    fn version(&mut self) {
        let evaluated = self.evaluated;
        let value = |name: &str| evaluated.one(name).unwrap_or_default().to_owned();
        let version = value("pkgver");
        let line = self.line_of("pkgver");
        if version.is_empty() {
            self.error(line, "pkgver", "pkgver is missing");
        } else if !version.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:-".contains(&byte)) {
            let text = format!("pkgver {version:?} has one of '/', ':', '-', white space, or is not ASCII");
            self.error(line, "pkgver", text);
        }
        let release = value("pkgrel");
        let line = self.line_of("pkgrel");
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, part) = release.split_once('.').unwrap_or((&release, "0"));
        if release.is_empty() {
            self.error(line, "pkgrel", "pkgrel is missing");
        } else if !number(whole) || !number(part) {
            self.error(line, "pkgrel", format!("pkgrel {release:?} is not a number like 1 or 1.2"));
        }
        let epoch = value("epoch");
        if !epoch.is_empty() && !number(&epoch) {
            let line = self.line_of("epoch");
            self.error(line, "epoch", format!("epoch {epoch:?} is not a whole number"));
        }
    }

    fn machines(&mut self) {
        let machines = self.evaluated.all("arch");
        let line = self.line_of("arch");
        if machines.is_empty() {
            self.error(
                line,
                "arch",
                "arch is missing; write arch=('x86_64' 'aarch64'), or 'any' for a package without machine code",
            );
        }
        for machine in machines {
            if machine == "any" && machines.len() > 1 {
                self.error(line, "arch", "arch has 'any' beside others");
            } else if machine.is_empty() || !machine.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                self.error(line, "arch", format!("arch has {machine:?}, which is no architecture"));
            }
        }
    }

    fn kinds(&mut self) {
        for name in &self.evaluated.strings {
            if !STRINGS.contains(&name.as_str()) && name != "pkgname" {
                let line = self.line_of(name);
                self.error(line, "variable-type", format!("{name} should be an array: {name}=(…)"));
            }
        }
        for name in self.evaluated.arrays.iter().filter(|name| STRINGS.contains(&name.as_str())) {
            let line = self.line_of(name);
            self.error(line, "variable-type", format!("{name} should not be an array"));
        }
    }

    fn options(&mut self) {
        let evaluated = self.evaluated;
        let head = evaluated.all("options");
        let mut found: Vec<(usize, String)> = Vec::new();
        for (index, option) in head.iter().enumerate() {
            found.push((self.line_of_element("options", index, head.len()), option.clone()));
        }
        let over = self.script.assignments.iter().filter(|a| {
            a.name == "options" && a.function.as_deref().is_some_and(|function| function.starts_with("package"))
        });
        found.extend(over.flat_map(|a| a.elements.iter().map(|word| (word.line, word.plain()))));
        for (line, option) in found {
            let name = option.strip_prefix('!').unwrap_or(&option);
            if !OPTIONS.contains(&name) && !name.contains('$') {
                let hint = nearest(name).map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
                self.error(line, "option", format!("options has {option:?}, which nobody knows{hint}"));
            }
        }
    }

    fn packages(&mut self) {
        let evaluated = self.evaluated;
        let names = evaluated.all("pkgname");
        let has = |name: &str| evaluated.functions.iter().any(|function| function == name);
        let line = self.line_of("pkgname");
        match names {
            [name] => {
                let own = format!("package_{name}");
                if has("package") && has(&own) {
                    let line = self.line_of_function(&own);
                    self.error(line, "package-function", format!("there are both package() and {own}()"));
                } else if !has("package") && !has(&own) {
                    self.error(line, "package-function", "there is no package() function");
                }
            }
            many => {
                if has("package") && many.len() > 1 {
                    let line = self.line_of_function("package");
                    let text = "package() is not called in a recipe for several packages; each has its package_NAME()";
                    self.error(line, "package-function", text);
                }
                for name in many.iter().filter(|name| !has(&format!("package_{name}"))) {
                    self.error(line, "package-function", format!("there is no package_{name}() function"));
                }
            }
        }
        for function in &evaluated.functions {
            if let Some(name) = function.strip_prefix("package_")
                && !names.iter().any(|known| known == name)
            {
                let line = self.line_of_function(function);
                let text = format!("{function}() is never called: there is no package {name:?}");
                self.warn(line, "package-function", text);
            }
        }
    }

    /// A `.SRCINFO` that is there is what catalogs and plans believe.
    fn written_down(&mut self) {
        let Some(file) = self.files.iter().find(|file| file.path == ".SRCINFO") else { return };
        let written = String::from_utf8_lossy(&file.content);
        let plain = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        if plain(&written) != plain(self.evaluated.one("srcinfo").unwrap_or_default()) {
            self.warn(
                1,
                "srcinfo",
                "it is not what the PKGBUILD says; write it anew: rbee recipe print DIR >DIR/.SRCINFO",
            );
            if let Some(lint) = self.lints.last_mut() {
                lint.file = ".SRCINFO".into();
            }
        }
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let near = |known: &&str| name.len() < 40 && strsim::damerau_levenshtein(name, known) <= 2;
    OPTIONS.into_iter().find(near)
}
