"""Draws the README's pictures: graph.svg, and page.png, which needs the group `browser`.

page.png is a photograph of a page: a convolutional network after 80 updates, coloured by the memory
that its results take up until the backward pass.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import data, nn, optim, train

HERE = Path(__file__).parent

model = nn.Sequential(
    nn.Linear(784, 128, rng=0),
    nn.ReLU(),
    nn.Linear(128, 64, rng=1),
    nn.ReLU(),
    nn.Linear(64, 10, rng=2),
)
criterion = nn.CrossEntropyLoss()
images, labels = np.zeros((32, 784), np.float32), np.zeros(32, int)
graph = tg.draw(lambda images: criterion(model(images), labels), images, direction="LR")
graph.save(HERE / "graph.svg")


def conv(before, after, seed):
    """One block of the network."""
    return [
        nn.Conv2d(before, after, 3, padding="same", rng=seed),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


cnn = nn.Sequential(*conv(1, 16, 0), *conv(16, 32, 1), nn.Flatten(), nn.Linear(1568, 10, rng=2))
clothes = data.load("fashion-mnist-mini")
batches = data.Loader(
    clothes.train_images[:, None], clothes.train_labels, batch_size=64, seed=0, flatten=False
)
recorder = train.GraphRecorder(every=20)
optimizer = optim.Adam(cnn.parameters(), lr=1e-3)
train.fit(cnn, criterion, optimizer, batches, epochs=1, callbacks=[recorder])

from selenium import webdriver  # noqa: E402  (only the second picture needs it)

options = webdriver.ChromeOptions()
for flag in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1400,860"):
    options.add_argument(f"--{flag}")
service = webdriver.ChromeService(shutil.which("chromedriver"))
with tempfile.TemporaryDirectory() as folder:
    page = recorder.graph.save(Path(folder) / "page.html")
    browser = webdriver.Chrome(options=options, service=service)
    browser.get(page.as_uri())
    browser.execute_script(
        "const heat = document.getElementById('heat'); heat.value = 'kept';"
        "heat.dispatchEvent(new Event('change'));"
        "[...document.querySelectorAll('.node')].find(n => n.textContent.includes('BatchNorm2d'))"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    browser.save_screenshot(str(HERE / "page.png"))
    browser.quit()
