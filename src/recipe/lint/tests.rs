use super::*;

fn file(path: &str, content: &str) -> RecipeFile {
    RecipeFile { path: path.into(), executable: false, content: content.into() }
}

fn commands(text: &str) -> Vec<(usize, &'static str)> {
    let lints = lint(&[file("PKGBUILD", text)], &Err("no".into()), "");
    lints.into_iter().filter(|lint| lint.code != "evaluation").map(|lint| (lint.line, lint.code)).collect()
}

#[test]
fn what_commands_do_is_seen_with_its_line() {
    assert_eq!(
        commands(
            "build() {\n  cd $srcdir/x\n  cd \"$srcdir/x\"\n  make DESTDIR=$pkgdir install\n  x=$pkgdir y=${srcdir}\n  \
             [[ -d $srcdir && $pkgdir = x ]]\n  local z=$srcdir\n  echo \"$(cat $srcdir/f)\"\n}\n"
        ),
        [(2, "unquoted"), (4, "unquoted"), (8, "unquoted")]
    );
    assert_eq!(
        commands(
            "package() {\n  sudo make install\n  if true; then command sudo -u x y; fi\n  echo sudo 'sudo x' # sudo x\n  \
             cat <<END\nsudo x\ncp x /etc\nEND\n  x=$(sudo id) | su -c id\n}\n"
        ),
        [(2, "sudo"), (3, "sudo"), (9, "sudo"), (9, "sudo")]
    );
    assert_eq!(
        commands(
            "package() {\n  install -Dm755 x /usr/bin/x\n  install -Dm755 /usr/share/x \"$pkgdir/usr/bin/x\"\n  mkdir -p '/opt/x'\n  \
             echo x >/etc/x 2>/dev/null\n  cp -t /lib a b\n  ln -s /usr/lib/x \"$pkgdir/lib/y\"\n  rm -rf /tmp/x y\n  \
             chmod 755 /x\n  sed -i s/a/b/ /etc/f\n  sed s/a/b/ /etc/f >\"$srcdir/f\"\n  case $x in /a) cp a /b ;; (c) ;; esac\n}\n"
        ),
        [2, 4, 5, 6, 8, 9, 10, 12].map(|line| (line, "absolute-path"))
    );
}

#[test]
fn what_does_not_go_with_a_worker_is_seen_before_it_is_built() {
    let places = [
        ("install -Dm644 c \"$pkgdir/etc/c\"", true),
        ("install -Dm644 c \"${pkgdir}/usr/include/c.h\"", true),
        ("mkdir -p \"$pkgdir\"/usr/local/sbin", true),
        ("cp -r lib64 \"$pkgdir/usr/lib64\"", true),
        ("mkdir -p \"$pkgdir/opt/tool/bin\"", true),
        ("install -Dm755 t \"$pkgdir/usr/bin/t\"", false),
        ("install -Dm755 t \"$pkgdir/bin/t\"", false),
        ("mkdir -p \"$pkgdir/usr/local\" \"$pkgdir/usr\" \"$pkgdir\"", false),
        ("install -Dm644 m \"$pkgdir/usr/local/share/man/man1/m.1\"", false),
        ("cp x \"$pkgdir/$place/x\" && cp y \"$pkgdir/usr/$place\"", false),
        ("cp \"$pkgdir/etc/x\" here", false),
    ];
    for (command, is_outside) in places {
        let found = commands(&format!("package() {{\n  {command}\n}}\n"));
        let expected: &[_] = if is_outside { &[(2, "package-place")] } else { &[] };
        assert_eq!(found, expected, "{command}");
    }
}

#[test]
fn functions_and_arrays_are_found_where_they_are() {
    let script = scan::scan(
        "a=(\n  one # comment )\n  'two )' \"$(echo three)\"\n)\na+=(four)\nfunction f {\n  b=(1)\n}\ng ()\n(\n  c=2\n)\n\
         h() { if x; then { y; }; fi; d=3; }\ne=4\nfor i in 1 2; do :; done; case x in y) z=5 ;; esac\n",
    );
    let functions: Vec<_> = script.functions.iter().map(|(name, line)| (name.as_str(), *line)).collect();
    assert_eq!(functions, [("f", 6), ("g", 9), ("h", 13)]);
    let assigned: Vec<_> = script
        .assignments
        .iter()
        .map(|a| {
            (a.name.as_str(), a.line, a.elements.iter().map(|w| w.line).collect::<Vec<_>>(), a.function.as_deref())
        })
        .collect();
    assert_eq!(
        assigned,
        [
            ("a", 1, vec![2, 3, 3], None),
            ("a", 5, vec![5], None),
            ("b", 7, vec![7], Some("f")),
            ("c", 11, vec![], Some("g")),
            ("d", 13, vec![], Some("h")),
            ("e", 14, vec![], None),
            ("z", 15, vec![], None),
        ]
    );
}

#[test]
fn bash_says_where_it_stopped() {
    let said =
        "x\n/w/recipe/PKGBUILD: line 7: syntax error near unexpected token `)'\n/w/recipe/PKGBUILD: line 7: `foo)'\n";
    let lints = lint(&[file("PKGBUILD", "")], &Err("PKGBUILD ended with an error when it was read".into()), said);
    assert_eq!(lints.len(), 1);
    assert_eq!((lints[0].line, lints[0].text.as_str()), (7, "syntax error near unexpected token `)'"));
    let lints = lint(&[], &Err("PKGBUILD called exit before it was through".into()), "nothing\n");
    assert_eq!((lints[0].line, lints[0].severity), (1, Severity::Error));
}

proptest::proptest! {
    #[test]
    fn every_text_is_read_to_its_end(text in "[ \n(){}\\[\\]$\"'`<>|;&#=+a-c\\\\]{0,200}") {
        scan::scan(&text);
    }
}

#[test]
fn hostile_nesting_ends() {
    for part in ["$(", "x=(", "(", "{ ", "\"$(", "${", "<(", "f() (", "case x in ", "$((", "`", "<<x "] {
        scan::scan(&part.repeat(100_000));
    }
}
