from .made import gaussian_made as gaussian_made
