"""Fine-tuning as anyone would write it with Hugging Face alone, to hold `diffmask evaluate` against.

    python tools/plain_finetune.py MODEL TASK --seeds 3 --epochs 3 --learning-rate 2e-4 --batch-size 32

TASK is a folder with train.jsonl, dev.jsonl and test.jsonl of {"text", "label"}. Nothing of diffmask is imported.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
import transformers
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)


def read(path: Path) -> list[dict]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    """Fine-tune for each seed, and print micro-F1 on the test split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("task", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--attention", help="as attn_implementation of transformers, such as eager")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    splits = {name: read(args.task / f"{name}.jsonl") for name in ("train", "dev", "test")}
    names = sorted({row["label"] for rows in splits.values() for row in rows})
    scores = []
    for seed in range(args.seeds):
        scores.append(run(args, splits, names, seed))
        print(f"seed {seed}: micro-F1 {scores[-1]:.4f}", flush=True)
    spread = f" +- {stdev(scores):.4f}" if len(scores) > 1 else ""
    print(f"mean: {mean(scores):.4f}{spread}")


def run(args: argparse.Namespace, splits: dict[str, list[dict]], names: list[str], seed: int) -> float:
    """Fine-tune once, stop by dev, and return micro-F1 on test."""
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(names), attn_implementation=args.attention
    )
    data = {
        split: [
            {**tokenizer(row["text"], truncation=True, max_length=args.max_length), "labels": names.index(row["label"])}
            for row in rows
        ]
        for split, rows in splits.items()
    }

    def measure(prediction: transformers.EvalPrediction) -> dict[str, float]:
        guessed = np.asarray(prediction.predictions).argmax(-1)
        return {"micro_f1": float(f1_score(prediction.label_ids, guessed, average="micro"))}

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
                output_dir=folder,
                num_train_epochs=args.epochs,
                learning_rate=args.learning_rate,
                per_device_train_batch_size=args.batch_size,
                per_device_eval_batch_size=64,
                warmup_steps=0.06,
                weight_decay=0.1,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_only_model=True,
                save_total_limit=1,
                load_best_model_at_end=True,
                metric_for_best_model="micro_f1",
                logging_strategy="no",
                disable_tqdm=True,
                report_to="none",
                bf16=args.bf16,
                use_cpu=not torch.cuda.is_available(),
                seed=seed,
                train_sampling_strategy="group_by_length",
            ),
            data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=data["train"],  # type: ignore[arg-type]
            eval_dataset=data["dev"],  # type: ignore[arg-type]
            compute_metrics=measure,
            callbacks=[EarlyStoppingCallback(args.patience)],
        )
        trainer.train()
        return trainer.predict(data["test"]).metrics["test_micro_f1"]  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
