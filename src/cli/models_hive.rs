//! Models over a hive: a verb as an operation on this side, an operation as the same verb on the other.

use super::{
    Complaint,
    args_model::{ModelCommand, ModelFlags, ViaWay},
    models,
};
use crate::{
    engine::Request,
    models::Options,
    wire::operation::{ModelDownload, Operation, ViaWord},
};

/// The verb, for a hive; what only this machine has does not travel.
pub fn operation(command: ModelCommand) -> Result<Operation, Complaint> {
    Ok(match command {
        ModelCommand::Download { model, dry_run, .. } => {
            let usual = Options::default();
            if model.silence != usual.silence || model.stall != usual.stall || model.all_or_nothing {
                let text = "--silence, --stall and --all-or-nothing stay on this machine: a hive is not given them";
                return Err(Complaint::usage(text).hint("--timeout is the limit of the whole job"));
            }
            let Some(name) = model.model else { return Err(models::unnamed()) };
            Operation::ModelDownload(Box::new(ModelDownload {
                model: name,
                include: model.include,
                exclude: model.exclude,
                quant: model.quant,
                fits: model.fits,
                via: match model.via {
                    ViaWay::Auto => ViaWord::Auto,
                    ViaWay::Hub => ViaWord::Hub,
                    ViaWay::Relay => ViaWord::Relay,
                },
                connections: Some(model.connections),
                limit_rate: model.limit_rate,
                force_disk: model.force_disk,
                clean: model.clean,
                dry_run,
            }))
        }
        ModelCommand::List(_) => Operation::ModelList { repo: None },
        ModelCommand::Get { repo, .. } => Operation::ModelList { repo: Some(repo) },
        ModelCommand::Verify { repo, .. } => Operation::ModelVerify { repo },
        ModelCommand::Remove { model, .. } => Operation::ModelRemove { model },
        ModelCommand::Clean { orphans, .. } => Operation::ModelClean { orphans },
    })
}

/// A download that was submitted; the hub and its token are those of the hive's own environment.
pub fn download(asked: &ModelDownload) -> Result<Request, Complaint> {
    let usual = Options::default();
    let flags = ModelFlags {
        model: Some(asked.model.clone()),
        include: asked.include.clone(),
        exclude: asked.exclude.clone(),
        quant: asked.quant.clone(),
        fits: asked.fits,
        via: match asked.via {
            ViaWord::Auto => ViaWay::Auto,
            ViaWord::Hub => ViaWay::Hub,
            ViaWord::Relay => ViaWay::Relay,
        },
        connections: asked.connections.unwrap_or(usual.connections),
        limit_rate: asked.limit_rate,
        silence: usual.silence,
        stall: usual.stall,
        force_disk: asked.force_disk,
        clean: asked.clean,
        all_or_nothing: false,
    };
    models::fetching(flags, asked.dry_run)
}
