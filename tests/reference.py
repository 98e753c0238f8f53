"""Independent reference implementation of the published models: slow and literal.

Weights are a dict with the published names and layouts. Checks the package on sizes, filter counts and seeds without
published outputs, and makes files in the published layout.
"""

import torch
import torch.nn.functional as F


def published_shapes(name, n, image_size=(128, 256), dim=256, heads=8, grid=4):
    """Name and shape of every tensor in a published checkpoint of model `name` with `n` filters."""
    shapes = {}

    def conv(key, out, kernel, inp, bias=True):
        linear(key, out, inp, bias, kernel, kernel)

    def deconv(key, inp, out, kernel):
        shapes[f"{key}.weight"] = (inp, out, kernel, kernel)
        shapes[f"{key}.bias"] = (out,)

    def gdn(key):
        shapes[f"{key}.beta"], shapes[f"{key}.gamma"] = (n,), (n, n)

    def prior(key):
        widths = (1, 3, 3, 3, 1)
        for i in range(4):
            shapes[f"{key}.matrix{i}"] = (n, widths[i + 1], widths[i])
            shapes[f"{key}.bias{i}"] = (n, widths[i + 1], 1)
        shapes[f"{key}.factors"] = (3, n, 3, 1)

    def linear(key, out, inp, bias=True, *kernel):
        shapes[f"{key}.weight"] = (out, inp, *kernel)
        if bias:
            shapes[f"{key}.bias"] = (out,)

    if name == "bls17":
        conv("conv1", n, 9, 3), conv("conv2", n, 5, n), conv("conv3", n, 5, n)
        gdn("gdn1"), gdn("gdn2"), gdn("igdn2"), gdn("igdn3"), prior("entropy_bottleneck")
        deconv("deconv1", n, n, 5), deconv("deconv2", n, n, 5), deconv("deconv3", n, 3, 9)
        return shapes
    distributed = name != "bmshj18"
    for suffix in ("", "_cor", "_w") if distributed else ("",):
        for i in (1, 2, 3, 4):
            conv(f"conv{i}{suffix}", n, 5, 3 if i == 1 else n)
            if i < 4:
                gdn(f"gdn{i}{suffix}")
    for suffix in ("", "_cor") if distributed else ("",):
        wide = 2 if name == "cross_attention" and suffix == "" else 1
        for i in (1, 2, 3, 4):
            inp = (2 * n if distributed else n) if i == 1 else wide * n
            deconv(f"deconv{i}{suffix}", inp, 3 if i == 4 else n, 5)
            if i < 4:
                gdn(f"igdn{i}{suffix}")
    hypers = {"bmshj18": [""], "ndic_bmshj18": ["_primary_image", "_cor_image"]}
    for image in hypers.get(name, []):
        ha, hs = f"ha{image}", f"hs{image}"
        conv(f"{ha}.conv_h1", n, 3, n), conv(f"{ha}.conv_h2", n, 5, n), conv(f"{ha}.conv_h3", n, 5, n, bias=False)
        deconv(f"{hs}.conv_h4", n, n, 5), deconv(f"{hs}.conv_h5", n, n, 5), deconv(f"{hs}.conv_h6", n, n, 3)
    priors = {"bmshj18": [""], "ndic_bmshj18": ["_sigma_x", "_sigma_y", "_common_info"]}
    for suffix in priors.get(name, ["_hx", "_hy", ""]):
        prior(f"entropy_bottleneck{suffix}")
    if name == "cross_attention":
        for i, stride in ((1, 8), (2, 4), (3, 2)):
            values = image_size[0] // stride // grid * (image_size[1] // stride // grid)
            linear(f"ca{i}.to_patch_embedding_x.1", dim, values)
            linear(f"ca{i}.to_patch_embedding_y.1", dim, values)
            linear(f"ca{i}.unpack_embedding_y.0", values, dim)
            shapes[f"ca{i}.norm.weight"] = shapes[f"ca{i}.norm.bias"] = (dim,)
            linear(f"ca{i}.attn.to_qkv_x", 3 * heads * dim, dim, bias=False)
            linear(f"ca{i}.attn.to_qkv_y", 3 * heads * dim, dim, bias=False)
            linear(f"ca{i}.attn.to_out.0", dim, heads * dim)
    return shapes


class Reference:
    """Evaluates a published model on a pair; returns x_hat, y_hat and bits, named as in parity.npz."""

    def __init__(self, name, weights, grid=4, heads=8):
        self.name, self.w, self.grid, self.heads = name, weights, grid, heads

    def conv(self, v, key, stride):
        weight = self.w[f"{key}.weight"]
        return F.conv2d(v, weight, self.w.get(f"{key}.bias"), stride, weight.shape[-1] // 2)

    def deconv(self, v, key, stride):
        weight = self.w[f"{key}.weight"]
        return F.conv_transpose2d(v, weight, self.w[f"{key}.bias"], stride, weight.shape[-1] // 2, stride - 1)

    def gdn(self, v, key, inverse=False):
        pedestal = 2.0**-36
        beta = self.w[f"{key}.beta"].clamp(min=(1e-6 + pedestal) ** 0.5) ** 2 - pedestal
        gamma = self.w[f"{key}.gamma"].clamp(min=pedestal**0.5) ** 2 - pedestal
        norm = (beta[None, :, None, None] + torch.einsum("bihw,ij->bjhw", v**2, gamma)).sqrt()
        return v * norm if inverse else v / norm

    def density_bits(self, v, key):
        """Total -log2 likelihood of the values under the factorised prior, without rounding."""
        flat = v.transpose(0, 1).reshape(v.shape[1], 1, -1)

        def logits(at):
            for i in range(4):
                at = F.softplus(self.w[f"{key}.matrix{i}"]) @ at + self.w[f"{key}.bias{i}"]
                if i < 3:
                    at = at + torch.tanh(self.w[f"{key}.factors"][i]) * torch.tanh(at)
            return at

        lower, upper = logits(flat - 0.5), logits(flat + 0.5)
        left = torch.sigmoid(upper) - torch.sigmoid(lower)
        right = torch.sigmoid(-lower) - torch.sigmoid(-upper)
        p = torch.where(lower + upper > 0, right, left).clamp(min=1e-9)
        return -p.double().log2().sum().item()

    def gaussian_bits(self, v, sigma):
        sigma, v = sigma.clamp(min=0.11), v.abs()
        cumulative = lambda at: 0.5 * torch.erfc(-(2**-0.5) * at)  # noqa: E731
        p = (cumulative((0.5 - v) / sigma) - cumulative((-0.5 - v) / sigma)).clamp(min=1e-9)
        return -p.double().log2().sum().item()

    def analysis(self, v, suffix=""):
        if self.name == "bls17":
            v = self.gdn(self.conv(v, "conv1", 4), "gdn1")
            return self.conv(self.gdn(self.conv(v, "conv2", 2), "gdn2"), "conv3", 2)
        for i in (1, 2, 3):
            v = self.gdn(self.conv(v, f"conv{i}{suffix}", 2), f"gdn{i}{suffix}")
        return self.conv(v, f"conv4{suffix}", 2)

    def synthesis(self, v, suffix=""):
        if self.name == "bls17":
            v = self.gdn(self.deconv(v, "deconv1", 2), "igdn2", inverse=True)
            return self.deconv(self.gdn(self.deconv(v, "deconv2", 2), "igdn3", inverse=True), "deconv3", 4)
        for i in (1, 2, 3):
            v = self.gdn(self.deconv(v, f"deconv{i}{suffix}", 2), f"igdn{i}{suffix}", inverse=True)
        return self.deconv(v, f"deconv4{suffix}", 2)

    def hyper(self, h, ha, hs, prior, rounded):
        """Scales of h and bits of z."""
        z = self.conv(self.conv(F.relu(h.abs()), f"{ha}.conv_h1", 1), f"{ha}.conv_h2", 2)
        z = self.conv(F.relu(z), f"{ha}.conv_h3", 2)
        z = z.round() if rounded else z
        s = F.relu(self.deconv(F.relu(self.deconv(z, f"{hs}.conv_h4", 2)), f"{hs}.conv_h5", 2))
        return self.deconv(s, f"{hs}.conv_h6", 1), self.density_bits(z, prior)

    def linear(self, v, key):
        return F.linear(v, self.w[f"{key}.weight"], self.w.get(f"{key}.bias"))

    def cam(self, t, u, key):
        b, n, height, width = t.shape
        p, rows, columns = self.grid, height // self.grid, width // self.grid

        def embed(features, side):
            tokens = [
                features[:, c, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].flatten(1)
                for c in range(n)
                for i in range(p)
                for j in range(p)
            ]
            embedded = self.linear(torch.stack(tokens, 1), f"{key}.to_patch_embedding_{side}.1")
            return F.layer_norm(embedded, embedded.shape[-1:], self.w[f"{key}.norm.weight"], self.w[f"{key}.norm.bias"])

        q, _, _ = self.linear(embed(t, "x"), f"{key}.attn.to_qkv_x").chunk(3, -1)
        _, k, v = self.linear(embed(u, "y"), f"{key}.attn.to_qkv_y").chunk(3, -1)
        out = []
        for q1, k1, v1 in zip(*(part.chunk(self.heads, -1) for part in (q, k, v)), strict=True):
            out.append(torch.softmax(q1 @ k1.mT * q1.shape[-1] ** -0.5, -1) @ v1)
        tokens = self.linear(self.linear(torch.cat(out, -1), f"{key}.attn.to_out.0"), f"{key}.unpack_embedding_y.0")
        aligned = torch.empty_like(t)
        for index in range(n * p * p):
            c, i, j = index // (p * p), index // p % p, index % p
            patch = tokens[:, index].reshape(b, rows, columns)
            aligned[:, c, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = patch
        return aligned

    @torch.no_grad()
    def __call__(self, x, y):
        h_x = self.analysis(x)
        if self.name in ("bls17", "bmshj18"):
            out = {"x_hat": self.synthesis(h_x.round())}
            if self.name == "bls17":
                return out | {"bits_x": self.density_bits(h_x.round(), "entropy_bottleneck")}
            sigma, out["bits_z"] = self.hyper(h_x, "ha", "hs", "entropy_bottleneck", rounded=True)
            return out | {"bits_x": self.gaussian_bits(h_x.round(), sigma)}
        h_y, w = self.analysis(y, "_cor"), self.analysis(y, "_w")
        out = {}
        if self.name == "ndic_bmshj18":
            names = ("ha_primary_image", "hs_primary_image", "entropy_bottleneck_sigma_x")
            sigma_x, out["bits_z"] = self.hyper(h_x, *names, rounded=True)
            names = ("ha_cor_image", "hs_cor_image", "entropy_bottleneck_sigma_y")
            sigma_y, out["bits_z_y"] = self.hyper(h_y, *names, rounded=False)
            out["bits_x"] = self.gaussian_bits(h_x.round(), sigma_x)
            out["bits_y"] = self.gaussian_bits(h_y, sigma_y)
            out["bits_w"] = self.density_bits(w, "entropy_bottleneck_common_info")
        else:
            out["bits_x"] = self.density_bits(h_x.round(), "entropy_bottleneck_hx")
            out["bits_y"] = self.density_bits(h_y, "entropy_bottleneck_hy")
            out["bits_w"] = self.density_bits(w, "entropy_bottleneck")
        t, u = torch.cat([h_x.round(), w], 1), torch.cat([h_y, w], 1)
        out["y_hat"] = self.synthesis(u, "_cor")
        if self.name != "cross_attention":
            return out | {"x_hat": self.synthesis(t)}
        for i in (1, 2, 3):
            t = self.gdn(self.deconv(t, f"deconv{i}", 2), f"igdn{i}", inverse=True)
            u = self.gdn(self.deconv(u, f"deconv{i}_cor", 2), f"igdn{i}_cor", inverse=True)
            t = torch.cat([t, self.cam(t, u, f"ca{i}")], 1)
        return out | {"x_hat": self.deconv(t, "deconv4", 2)}
