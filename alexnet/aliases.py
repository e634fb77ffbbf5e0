"""What other programs call the settings: for those who say `lr`, and configurations from elsewhere."""

from __future__ import annotations

_KEYS = {
    "length": "epochs epoch num_epochs n_epochs max_epochs total_epochs train_epochs nepochs max_iter",
    "seed": "random_seed manual_seed random_state rng_seed",
    "network.convention": "model arch architecture net backbone image_size img_size input_size side",
    "network.start.rule": "initialization initializer weight_init",
    "network.start.model": "init weights pretrained finetune fine_tune load_from ckpt",
    "augmentation.crops": "crop random_crop crop_size",
    "augmentation.reflections": "flip hflip mirror horizontal_flip random_flip reflection",
    "augmentation.colour": "color color_jitter colour_jitter pca lighting alpha",
    "optimizer.batch": "batch batch_size batchsize bs mini_batch minibatch train_batch_size "
    "images_per_batch per_device_train_batch_size",
    "optimizer.learning_rate": "lr learningrate base_lr initial_lr init_lr lr0 max_lr eta rate",
    "optimizer.momentum": "mom mu beta beta1",
    "optimizer.weight_decay": "wd weightdecay decay l2 l2_reg weight_regularization",
    "optimizer.freeze": "frozen freeze_layers",
    "schedule.kind": "schedule scheduler lr_scheduler lr_schedule lr_policy lr_scheduler_type",
    "schedule.factor": "gamma lr_decay lr_gamma decay_rate lr_factor",
    "schedule.warmup": "warm_up warmup_epochs warmup_steps warmup_ratio lr_warmup",
    "schedule.epochs": "milestones lr_milestones step_size lr_step_size lr_steps lr_drop",
    "checkpoint.every": "save_every save_freq save_interval save_steps checkpoint_every snapshot",
    "checkpoint.keep": "save_total_limit max_to_keep keep_checkpoints",
}
_ANSWERS = {
    "dropout drop dropout_rate drop_rate p_dropout keep_prob": "Dropout is as in the paper; to leave it "
    'out: --set "network.variant=no dropout"',
    "num_workers workers n_workers n_jobs threads prefetch_factor pin_memory": "Images are read by "
    "threads of this program, as many as it needs: there is nothing to set.",
    "device gpu gpus cuda ngpu num_gpus": "Say --device cpu, cuda or cuda:1 ...",
    "precision amp fp16 bf16 half mixed_precision dtype": "Say --precision fp32, tf32 or bf16.",
    "optim opt nesterov adam sgd": "The optimizer is the paper's, gradient descent with "
    "momentum; its keys begin with optimizer.",
    "name run_name exp_name experiment project": "Say --name NAME.",
    "data dataset data_dir data_path root train_dir": "Name the data first: alexnet train DATA",
    "num_classes n_classes nclasses classes": "The data decide the classes: a folder for each.",
    "val_split validation_split val_size test_size": "It is chosen when images are prepared: "
    "alexnet data prepare SRC --val 0.1",
    "resume": "Say alexnet resume RUN.",
}
_OPTIONS = {  # that stand for a setting
    "length": "--epochs N",
    "optimizer.batch": "--batch N",
    "seed": "--seed N",
    "network.start.model": "--init MODEL",
}
_KEY_OF = {name: key for key, names in _KEYS.items() for name in names.split()}
_ANSWER_TO = {name: answer for names, answer in _ANSWERS.items() for name in names.split()}


def meant(key: str) -> str:
    """The setting that other programs call so ("optimizer.lr" is the learning rate); empty if none."""
    return _KEY_OF.get(_plain(key), "")


def option_for(option: str) -> str:
    """What to say instead of an option of other programs: "Say --batch N." for `--batch-size`."""
    key = meant(option)
    return answer_to(option) or (f"Say {_OPTIONS.get(key, f'--set {key}=VALUE')}." if key else "")


def answer_to(key: str) -> str:
    """A sentence, where what other programs call so is no setting here; empty if there is none."""
    return _ANSWER_TO.get(_plain(key), "")


def _plain(key: str) -> str:
    """The last part of a key, as the table has it."""
    return key.lower().replace("-", "_").strip("_ ").rpartition(".")[2]
