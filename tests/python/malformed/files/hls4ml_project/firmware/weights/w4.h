//Numpy array shape [2, 3]
//Min -0.156250000000
//Max 0.375000000000
//Number of zeros 1

#ifndef W4_H_
#define W4_H_

#ifndef __SYNTHESIS__
_2_weight_t w4[6];
#else
_2_weight_t w4[6] = {-0.15625, 0.18750, -0.09375, 0.37500, -0.09375, 0.00000};

#endif

#endif
