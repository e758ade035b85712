"""Your own table of numbers: read a CSV, standardise, hold out a part, train, save, load."""

from pathlib import Path

import numpy as np

from tinygrad_fm import data, nn, optim, train

# a file as it might come from a spreadsheet: the class, then two measurements
rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 300)
centres = np.array([[150.0, 20.0], [160.0, 35.0], [180.0, 25.0]])
table = np.column_stack([labels, centres[labels] + rng.normal(0, 4, (300, 2))])
np.savetxt("plants.csv", table, delimiter=",", fmt="%.3f", header="kind,height,width", comments="")

x, kinds = data.from_csv("plants.csv", label="kind", dtype=np.float32)
(x, y), (x_test, y_test) = data.split(x, kinds, fraction=0.2, seed=0)
standard = data.ZScore("pixel").fit(x)  # fitted on training data, reused for the rest
batches = data.Loader(standard(x), y, batch_size=16, seed=0)

model = nn.Sequential(nn.Linear(2, 16, rng=0), nn.Tanh(), nn.Dropout(0.1, rng=1), nn.Linear(16, 3))
stopping = train.EarlyStopping(patience=5)
history = train.fit(
    model,
    nn.CrossEntropyLoss(),
    optim.AdamW(model.parameters(), lr=1e-2),
    batches,
    epochs=40,
    validation=(standard(x_test), y_test),
    callbacks=[stopping],
    progress=False,
)
train.save_weights(model, Path("plants.safetensors"))
train.load_weights(model, Path("plants.safetensors"))
classes = train.predict(model, standard(x_test), output="classes")
print(train.classification_report(classes, y_test, ["moss", "fern", "reed"]))
assert np.mean(classes == y_test) > 0.8
