//! Agents: the real one, and one that holds a security key as no test machine has it.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use russh::keys::{Algorithm, PrivateKey, signature::Signer, ssh_key::Signature};
use sha2::{Digest, Sha256};

use super::until;

/// An ssh-agent of our own.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    pub fn start(dir: &Path, keys: &[PathBuf]) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let socket = dir.join(format!("agent{nth}"));
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { child, socket };
        until("the agent answers", || UnixStream::connect(&agent.socket).is_ok());
        keys.iter().for_each(|key| agent.add(key, &[]));
        agent
    }

    /// Adds a key, with the certificate beside it.
    pub fn add(&self, key: &Path, more: &[&str]) {
        let added =
            Command::new("ssh-add").arg("-q").args(more).arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves one `sk-ssh-ed25519` key whose owner touches it at once; ends with the test program.
pub struct Token {
    pub socket: PathBuf,
    /// For authorized_keys and ssh-keygen -s.
    pub public_line: String,
}

const KIND: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &str = "ssh:";

impl Token {
    /// `certificate`, once there is one, is served beside the key: a line as in `-cert.pub`.
    pub fn start(dir: &Path, certificate: Arc<std::sync::Mutex<Option<String>>>) -> Self {
        use base64::Engine as _;
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let public = key.public_key().key_data().ed25519().unwrap().0;
        let blob = [string(KIND.as_bytes()), string(&public), string(APPLICATION.as_bytes())].concat();
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let public_line = format!("{KIND} {} token\n", encode(&blob));
        let socket = dir.join("token");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let certificate = certificate.lock().unwrap().clone().map(|line| {
                    let encoded = line.split(' ').nth(1).unwrap().to_owned();
                    base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
                });
                let blobs: Vec<Vec<u8>> = [Some(blob.clone()), certificate].into_iter().flatten().collect();
                serve(stream, &key, &blobs);
            }
        });
        Self { socket, public_line }
    }
}

/// Answers one client until it hangs up.
fn serve(mut stream: UnixStream, key: &PrivateKey, blobs: &[Vec<u8>]) {
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        let answer = match request[0] {
            11 => {
                let mut answer = vec![12];
                answer.extend(u32::try_from(blobs.len()).unwrap().to_be_bytes());
                blobs.iter().for_each(|blob| answer.extend([string(blob), string(b"token")].concat()));
                answer
            }
            13 => {
                let mut rest = &request[1..];
                take(&mut rest);
                let data = take(&mut rest);
                [vec![14], string(&touched(key, &data))].concat()
            }
            _ => vec![5],
        };
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

/// A signature as a token makes it (PROTOCOL.u2f of OpenSSH).
fn touched(key: &PrivateKey, data: &[u8]) -> Vec<u8> {
    let (flags, counter) = (1u8, 7u32.to_be_bytes());
    let mut message = Sha256::digest(APPLICATION.as_bytes()).to_vec();
    message.push(flags);
    message.extend(counter);
    message.extend(Sha256::digest(data));
    let signature: Signature = key.try_sign(&message).unwrap();
    let mut blob = [string(KIND.as_bytes()), string(signature.as_bytes())].concat();
    blob.push(flags);
    blob.extend(counter);
    blob
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn take(rest: &mut &[u8]) -> Vec<u8> {
    let (length, after) = rest.split_at(4);
    let (taken, after) = after.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
    *rest = after;
    taken.to_vec()
}
