//Numpy array shape [3, 4]
//Min -1.000000000000
//Max 0.968750000000
//Number of zeros 0

#ifndef W2_H_
#define W2_H_

#ifndef __SYNTHESIS__
_0_weight_t w2[12];
#else
_0_weight_t w2[12] = {0.81250, -1.00000, 0.15625, -0.21875, -0.18750, -0.09375, -0.81250, -0.09375, -0.34375, 0.96875, 0.09375, -0.15625};

#endif

#endif
